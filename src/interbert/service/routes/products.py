"""Products: written, shown, and what is like them."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Header, Path, Query, Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import JSONResponse

from interbert.errors import UnknownProductError
from interbert.search.query import Part
from interbert.search.query import Query as SearchQuery
from interbert.service.access import Principal, require
from interbert.service.errors import ServiceError, require_length
from interbert.service.product_reads import image_digest, product_body, thumbnail
from interbert.service.product_writes import NDJSON, Lines, WriteRequest, line_of
from interbert.service.routes.search import result_reply
from interbert.service.schemas.common import Responses, errors, example
from interbert.service.schemas.products import (
    PRODUCT,
    SHOWN,
    TASK,
    WRITTEN,
    ColumnsRequest,
    ProductReply,
    ProductRequest,
    ProductsRequest,
    RemovalRequest,
    SimilarReply,
    TaskReply,
    WriteReply,
)
from interbert.service.schemas.search import RESULT
from interbert.service.service import Service

router = APIRouter(tags=["products"])
MODELS = (ProductRequest, ProductsRequest, ColumnsRequest, RemovalRequest, WriteReply, TaskReply)
"""Of bodies that the routes read and write themselves."""

Reader = Annotated[Principal, Depends(require("search"))]
Writer = Annotated[Principal, Depends(require("write"))]
ProductId = Annotated[
    str, Path(description="Id of the product. Write `/` as `%2F`, `#` as `%23`.", min_length=1, examples=["1163"])
]
IndexName = Annotated[
    str | None, Query(alias="index", max_length=100, description="Of the index; the first one when left out.")
]
ImageId = Annotated[str | None, Query(max_length=4096, description="Of an image of the product.")]
Wait = Annotated[
    float | None,
    Query(ge=0.0, le=60.0, description="Seconds to wait for the task; 5 for up to 16 products, else 0, when left out."),
]
IdempotencyKey = Annotated[
    str | None,
    Header(max_length=255, description="The same request with the same key, within 24 hours, is done once."),
]
_CACHED = "private, max-age=300"
_WRITING = errors(
    *("not_found", "conflict", "unsupported_media_type", "bad_image", "index_unavailable", "storage_full", "draining")
)


def _body(*models: str, lines: Any, value: Any) -> dict[str, Any]:
    """A request's body for OpenAPI: JSON, and NDJSON where ``lines`` gives an example of it."""
    schemas = [{"$ref": f"#/components/schemas/{model}"} for model in models]
    content: dict[str, Any] = {
        "application/json": {"schema": schemas[0] if len(schemas) == 1 else {"anyOf": schemas}, "example": value}
    }
    if lines is not None:
        described = {"description": "A JSON value a line; each has a status of its own, whatever is wrong with it."}
        content[NDJSON[0]] = {"schema": described, "example": line_of(lines).decode() + "\n"}
    return {"requestBody": {"required": True, "content": content}}


_IMAGE: Responses = {
    200: {"description": "JPEG of at most 128 pixels a side.", "content": {"image/jpeg": {}}},
    304: {"description": "It is the one that `If-None-Match` names."},
}
_WRITTEN = example(WRITTEN, "What was done to each line.") | {
    202: {"description": "It goes on as a task: see `Location`.", "model": TaskReply, "content": {}}
}
_WRITTEN[202]["content"] = example(TASK, "", 202)[202]["content"]


@router.post(
    "/v1/products",
    summary="Add products, or bring them up to date",
    response_model=WriteReply,
    responses=_WRITTEN | _WRITING,
    openapi_extra=_body("ProductsRequest", "ProductRequest", lines=PRODUCT, value={"products": [PRODUCT]}),
)
async def add(
    request: Request,
    principal: Writer,
    index: IndexName = None,
    wait: Wait = None,
    idempotency_key: IdempotencyKey = None,
) -> Response:
    """One product, a list of them, or NDJSON with one a line. Each has a status: one bad line leaves the others alone.

    A product without an image must be in the index: its texts and columns change, and what is left out stays. A large
    write, or one that takes longer, answers 202 with a task, which is on the disk by then and survives a crash.
    """
    return await WriteRequest.of(request, index, principal, wait).answer_body("products.write")


@router.patch(
    "/v1/products",
    summary="Change columns of products",
    response_model=WriteReply,
    responses=_WRITTEN | _WRITING,
    openapi_extra=_body(
        "ProductsRequest",
        lines={"product_id": "1163", "price": 35.5},
        value={"products": [{"product_id": "1163", "price": 35.5}]},
    ),
)
async def update(
    request: Request,
    principal: Writer,
    index: IndexName = None,
    wait: Wait = None,
    idempotency_key: IdempotencyKey = None,
) -> Response:
    """Price, stock, tags and texts of products that are there; nothing is encoded, and all images of each change."""
    return await WriteRequest.of(request, index, principal, wait).answer_body("products.update")


@router.delete(
    "/v1/products",
    summary="Remove products",
    response_model=WriteReply,
    responses=_WRITTEN | _WRITING,
    openapi_extra=_body("RemovalRequest", lines={"product_id": "1163"}, value={"product_ids": ["1163", "1164"]}),
)
async def remove(
    request: Request,
    principal: Writer,
    index: IndexName = None,
    wait: Wait = None,
    idempotency_key: IdempotencyKey = None,
) -> Response:
    """Searches do not find them from the next one on. An id that is not in the index is rejected by itself."""
    return await WriteRequest.of(request, index, principal, wait).answer_body("products.remove")


@router.get(
    "/v1/products/{product_id:path}/similar",
    summary="Products like one of the index",
    response_model=SimilarReply,
    responses=example(
        {"product_id": "1163", "results": [RESULT], "index": "shop", "index_version": "products_0001_ab12cd34@17"},
        "The products, best first.",
    )
    | errors("bad_filter", "not_found", "overloaded", "index_unavailable"),
)
async def similar(
    request: Request,
    principal: Reader,
    product_id: ProductId,
    index: IndexName = None,
    top_k: Annotated[int, Query(ge=1, description="Results.")] = 10,
    where: Annotated[str | None, Query(description="A filter: `price < 50`.")] = None,
) -> Response:
    """By the vectors of their images; the product itself is left out."""
    if _is_part_of_id(request, "similar"):
        return await _shown(request, principal, f"{product_id}/similar", index)
    service: Service = request.app.state.service
    served = service.index(index, principal)
    limits = service.limits
    if top_k > limits.top_k:
        raise ServiceError("invalid", f"It is at most {limits.top_k}, not {top_k}.", "top_k")
    require_length(where, limits.where_characters, "where")
    try:
        vector = await run_in_threadpool(served.engine.product_vector, product_id)
    except UnknownProductError:
        raise ServiceError("not_found", "There is no such product in the index.", "product_id") from None
    query = SearchQuery((Part(vector=vector),), where=where, top_k=top_k, exclude=(product_id,))
    answer = await served.pipeline.search(query, gone=request.is_disconnected)
    reply = SimilarReply.model_construct(
        product_id=product_id,
        results=[result_reply(hit) for hit in answer.found.hits],
        index=served.name,
        index_version=answer.found.version,
    )
    return Response(reply.model_dump_json(), media_type="application/json")


@router.get(
    "/v1/products/{product_id:path}/image",
    summary="A small image of a product",
    response_class=Response,
    responses=_IMAGE | errors("not_found", "index_unavailable"),
)
async def image(
    request: Request, principal: Reader, product_id: ProductId, index: IndexName = None, image_id: ImageId = None
) -> Response:
    """The product's first image, or the one that is named. Its ETag is the digest of the image's file."""
    if _is_part_of_id(request, "image"):
        return await _shown(request, principal, f"{product_id}/image", index)
    service: Service = request.app.state.service
    served = service.index(index, principal)
    name, digest = await run_in_threadpool(image_digest, served, product_id, image_id)
    headers = {"ETag": f'"{digest}"', "Cache-Control": _CACHED}
    known = [one.strip().removeprefix("W/") for one in request.headers.get("if-none-match", "").split(",")]
    if headers["ETag"] in known or "*" in known:
        return Response(status_code=304, headers=headers)
    data = await run_in_threadpool(thumbnail, served, name)
    return Response(data, media_type="image/jpeg", headers=headers)


@router.get(
    "/v1/products/{product_id:path}",
    summary="A product",
    response_model=ProductReply,
    responses=example(SHOWN, "Its texts, columns and images.") | errors("not_found", "index_unavailable"),
)
async def product(request: Request, principal: Reader, product_id: ProductId, index: IndexName = None) -> Response:
    """Texts of all its images, the index's columns, and ids of the images."""
    return await _shown(request, principal, product_id, index)


@router.patch(
    "/v1/products/{product_id:path}",
    summary="Change columns of a product",
    response_model=WriteReply,
    responses=_WRITTEN | _WRITING,
    openapi_extra=_body("ColumnsRequest", lines=None, value={"price": 35.5, "stock": 12}),
)
async def update_one(
    request: Request,
    principal: Writer,
    product_id: ProductId,
    index: IndexName = None,
    wait: Wait = None,
    idempotency_key: IdempotencyKey = None,
) -> Response:
    """Price, stock, tags and texts; nothing is encoded. All images of the product change, or the one of `image_id`."""
    _require_no_part(request, product_id)
    asked = WriteRequest.of(request, index, principal, wait)
    fields, digest = await asked.json_body()
    if not isinstance(fields, dict) or not fields:
        raise ServiceError("invalid", 'Send the columns that change: {"price": 35.5}.', "body")
    if str(fields.get("product_id", product_id)) != product_id:
        raise ServiceError("invalid", "The id is that of the path, and does not change.", "product_id")
    line = line_of(fields | {"product_id": product_id})
    return await asked.answer(Lines("products.update", [line], digest, single=True))


@router.delete(
    "/v1/products/{product_id:path}",
    summary="Remove a product",
    response_model=WriteReply,
    responses=_WRITTEN | _WRITING,
)
async def remove_one(
    request: Request,
    principal: Writer,
    product_id: ProductId,
    index: IndexName = None,
    image_id: ImageId = None,
    wait: Wait = None,
    idempotency_key: IdempotencyKey = None,
) -> Response:
    """All of its images, or the one that is named."""
    _require_no_part(request, product_id)
    asked = WriteRequest.of(request, index, principal, wait)
    image = {} if image_id is None else {"image_id": image_id}
    line = line_of({"product_id": product_id, **image})
    return await asked.answer(Lines("products.remove", [line], asked.digest(), single=True))


def _require_no_part(request: Request, product_id: str) -> None:
    """Check that a path does not name what is only read.

    Raises:
        ServiceError: ``method_not_allowed``.
    """
    for name in ("similar", "image"):
        if product_id.endswith(f"/{name}") and not _is_part_of_id(request, name):
            message = f"It is only read. Of an id that ends so, write the slash as %2F: ...%2F{name}."
            raise ServiceError("method_not_allowed", message)


async def _shown(request: Request, principal: Principal, product_id: str, index: str | None) -> Response:
    service: Service = request.app.state.service
    served = service.index(index, principal)
    return JSONResponse(await run_in_threadpool(product_body, served, product_id))


def _is_part_of_id(request: Request, name: str) -> bool:
    """Whether the end of the path belongs to an id, as in ``/v1/products/a%2Fsimilar``."""
    return not request.scope.get("raw_path", f"/{name}".encode()).split(b"?")[0].endswith(f"/{name}".encode())
