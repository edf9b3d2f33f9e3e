"""Search, and what is served."""

from __future__ import annotations

import time
import uuid
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request, Response
from fastapi.concurrency import run_in_threadpool

from interbert.errors import VersionGone
from interbert.search.hits import Hit
from interbert.search.query import Found, Query
from interbert.service.access import Principal, require
from interbert.service.asked import digest_of, parts_of, query_of, require_limits, text_of, vectors_of
from interbert.service.bodies import json_or_form
from interbert.service.cursors import Cursor
from interbert.service.errors import CODES, ServiceError
from interbert.service.pipeline import Answer
from interbert.service.schemas.common import errors, example, json_safe
from interbert.service.schemas.search import (
    INDEXES,
    SEARCHED,
    FacetValue,
    IndexesReply,
    Result,
    SearchReply,
    SearchRequest,
)
from interbert.service.service import ServedIndex, Service
from interbert.service.state.records import SeenQuery
from interbert.service.wordings import Wordings, kept_in_cursor, rewrites_of, wordings_of

router = APIRouter(tags=["search"])
MODELS = (SearchRequest, SearchReply, IndexesReply)
"""Of bodies that the routes read and write themselves."""

_FORM = {
    "type": "object",
    "properties": {
        "image": {"type": "string", "format": "binary", "description": "An image file."},
        "request": {
            "type": "string",
            "contentMediaType": "application/json",
            "contentSchema": {"$ref": "#/components/schemas/SearchRequest"},
            "description": "The fields of a JSON request, as one JSON text.",
        },
        "text": {"type": "string"},
        "top_k": {"type": "integer"},
    },
    "description": "The image as a file; other fields of the JSON request as fields of the form, or in `request`.",
}
_BODY = {
    "required": True,
    "content": {
        "application/json": {
            "schema": {"$ref": "#/components/schemas/SearchRequest"},
            "example": {"text": "red summer dress", "top_k": 5},
        },
        "multipart/form-data": {"schema": _FORM, "example": {"text": "the same in blue", "top_k": 5}},
    },
}
_ERRORS = errors(
    *("bad_filter", "bad_cursor", "not_found", "cursor_expired", "unsupported_media_type", "bad_image"),
    *("overloaded", "index_unavailable"),
)


@router.post(
    "/v1/search",
    summary="Search by text, image or example",
    response_model=SearchReply,
    responses=example(SEARCHED, "A page of results.") | _ERRORS,
    openapi_extra={"requestBody": _BODY},
)
async def search(request: Request, principal: Annotated[Principal, Depends(require("search"))]) -> Response:
    """The best products for a text, an image, a product, or several of them with weights.

    Candidates are recalled by vectors and by the words of titles, and put in order by the joint model. Send the same
    request with `cursor` for the next page: pages are those of one version of the index, whatever is written meanwhile.
    """
    service: Service = request.app.state.service
    asked, upload = await json_or_form(request, SearchRequest)
    served = service.index(asked.index, principal)
    require_limits(asked, service.limits)
    digest = digest_of(asked, served.name, upload)
    cursor = service.cursors.read(asked.cursor, digest) if asked.cursor is not None else None
    query_id = uuid.uuid4().hex
    variant = None if cursor is None else cursor.variant
    answering = service.answering(served, asked.client_id or query_id, variant)
    try:
        query, wordings, before_ms = await _query(service, answering, asked, upload, cursor)
        seconds = ((asked.deadline_ms or service.queues.deadline_ms) - sum(before_ms.values())) / 1000
        answer = await answering.pipeline.search(query, deadline=max(seconds, 0.0), gone=request.is_disconnected)
    except VersionGone as error:
        raise ServiceError("cursor_expired", CODES["cursor_expired"][1], "cursor") from error
    answer.timings_ms = {**before_ms, **answer.timings_ms}
    shared = variant or (answering.name if served.name in service.settings.experiments else None)
    reply = _reply(service, served, query, wordings, query_id, answer, digest, shared)
    _record(service, asked, reply, answer.found)
    return Response(reply.model_dump_json(), media_type="application/json")


@router.get(
    "/v1/indexes",
    summary="What is served",
    response_model=IndexesReply,
    responses=example(INDEXES, "Every index that the key may use.") | errors("index_unavailable"),
)
async def indexes(request: Request, principal: Annotated[Principal, Depends(require("search"))]) -> Response:
    """Names, versions and sizes of indexes, and the columns that filters, facets and sort may use."""
    service: Service = request.app.state.service
    allowed = [one for name, one in service.indexes.items() if principal.may_use(name)]
    described = await run_in_threadpool(lambda: [_described(one) for one in allowed])
    reply = IndexesReply.model_validate({"indexes": described})
    return Response(reply.model_dump_json(), media_type="application/json")


async def _query(
    service: Service, served: ServedIndex, asked: SearchRequest, upload: bytes | None, cursor: Cursor | None
) -> tuple[Query, Wordings, dict[str, float]]:
    """The engine's query, what its texts became, and the milliseconds of both."""
    parts = parts_of(asked, upload)
    begun = time.perf_counter()
    version, kept = (None, None) if cursor is None else (cursor.version, cursor.words)
    wordings = await wordings_of(served.rewriter, parts, asked.spelling, kept)
    rewritten = time.perf_counter()
    vectors = await vectors_of(service, served, asked, parts, upload, version)
    spent = {"rewrite": 1000 * (rewritten - begun)}
    if vectors:
        spent["image"] = 1000 * (time.perf_counter() - rewritten)
    return query_of(asked, parts, vectors, wordings, cursor), wordings, spent


def _described(served: ServedIndex) -> dict[str, Any]:
    manifest = served.engine.index.manifest  # type: ignore[attr-defined]
    return {
        "name": served.name,
        "version": served.engine.version,
        "images": len(served.engine.index),
        "columns": [{"name": one.name, "kind": one.kind, "unit": one.unit} for one in manifest.columns],
        "model": manifest.origin[1],
        "vector_size": manifest.vector_size,
        "source_columns": {
            "product_id": manifest.mapping["product_id"],
            "image_id": manifest.mapping["picture_id"],
            "image": manifest.mapping["picture"],
            "texts": manifest.mapping["texts"],
        },
    }


def _record(service: Service, asked: SearchRequest, reply: SearchReply, found: Found) -> None:
    """Keep the search for the database, in the background."""
    best = max((hit.probability for hit in found.hits if hit.probability is not None), default=None)
    shown = (len(found.hits), best, asked.client_id, reply.variant, reply.took_ms)
    service.seen_queries.add(SeenQuery(reply.query_id, reply.index, text_of(asked), *shown))


def _reply(
    service: Service,
    served: ServedIndex,
    query: Query,
    wordings: Wordings,
    query_id: str,
    answer: Answer,
    digest: str,
    variant: str | None,
) -> SearchReply:
    found, timings = answer.found, {name: round(ms, 3) for name, ms in answer.timings_ms.items()}
    reached = query.offset + len(found.hits)
    more = bool(found.hits) and reached < found.total
    after = Cursor(found.version, reached, query.candidates, digest, kept_in_cursor(wordings), variant)
    return SearchReply.model_construct(
        query_id=query_id,
        results=[result_reply(hit) for hit in found.hits],
        total=found.total,
        read=found.read,
        next_cursor=service.cursors.write(after) if more else None,
        facets={
            name: [FacetValue.model_construct(value=json_safe(value), count=count) for value, count in values]
            for name, values in found.facets.items()
        },
        rewrites=rewrites_of(wordings),
        index=served.name,
        index_version=found.version,
        variant=variant,
        took_ms=round(sum(timings.values()), 3),
        timings_ms=timings,
        degraded=answer.degraded,
    )


def result_reply(hit: Hit) -> Result:
    """A product that was found, as it is sent."""
    return Result.model_construct(
        product_id=hit.product_id,
        image_id=hit.id,
        rank=hit.rank,
        probability=json_safe(hit.probability),
        score=json_safe(hit.score),
        texts=list(hit.texts),
        metadata=json_safe(hit.metadata),
        similar=list(hit.similar),
    )
