"""Embeddings and reranking as clients of OpenAI, Cohere and Jina send and read them."""

from __future__ import annotations

import base64
import uuid
from collections.abc import Sequence
from typing import Annotated

import numpy as np
from fastapi import APIRouter, Depends, Request, Response
from fastapi.concurrency import run_in_threadpool
from numpy.typing import NDArray
from pydantic import BaseModel

from interbert.service.access import Principal, require
from interbert.service.errors import ServiceError, require_length
from interbert.service.images import decoded, is_data_uri
from interbert.service.product_scores import product_scores
from interbert.service.schemas.common import errors, example
from interbert.service.schemas.compatible import (
    EMBEDDED,
    MODELS_LISTED,
    RERANKED,
    Document,
    Embedding,
    EmbeddingsReply,
    EmbeddingsRequest,
    ModelReply,
    ModelsReply,
    Ranked,
    RerankReply,
    RerankRequest,
    Usage,
)
from interbert.service.service import ServedIndex, Service

Float32 = NDArray[np.float32]

router = APIRouter(tags=["compatible"])

_ERRORS = errors("not_found", "bad_image", "overloaded", "index_unavailable")
_Searcher = Annotated[Principal, Depends(require("search"))]


@router.post(
    "/v1/embeddings",
    summary="Embed texts and images (OpenAI)",
    response_model=EmbeddingsReply,
    responses=example(EMBEDDED, "A vector of each input.") | _ERRORS,
)
async def embeddings(request: Request, asked: EmbeddingsRequest, principal: _Searcher) -> Response:
    """Vectors of texts and of images (data URIs), as OpenAI's clients read them.

    A text's and an image's inner product is the score by which images are recalled; vectors of images have a number
    more than their direction where the model corrects hubs.
    """
    service: Service = request.app.state.service
    served = service.index(asked.model, principal)
    size = served.engine.encoder.matching_size
    if asked.dimensions not in (None, size):
        raise ServiceError("invalid", f"Vectors of this model have {size} numbers, no others.", "dimensions")
    inputs = asked.inputs
    _require_batch(service, len(inputs), "input")
    texts = [place for place, one in enumerate(inputs) if not is_data_uri(one)]
    _require_lengths(service, {f"input[{place}]": inputs[place] for place in texts})
    vectors: Float32 = np.zeros((len(inputs), size), np.float32)
    if texts:
        vectors[texts] = (await served.pipeline.encode_texts([inputs[place] for place in texts]))[:, :size]
    for place, one in enumerate(inputs):
        if is_data_uri(one):
            async with service.image_slots.taking():
                image = await run_in_threadpool(decoded, one, f"input[{place}]", service.limits.image_megapixels)
                vectors[place] = (await served.pipeline.encode_images([image]))[0, :size]
    data = [
        Embedding(index=place, embedding=_base64(one) if asked.encoding_format == "base64" else one.tolist())
        for place, one in enumerate(vectors)
    ]
    usage = await _usage(served, [inputs[place] for place in texts])
    return _answer(EmbeddingsReply(data=data, model=served.name, usage=usage))


@router.get(
    "/v1/models",
    summary="Models that embed and rerank (OpenAI)",
    response_model=ModelsReply,
    responses=example(MODELS_LISTED, "A model for each index that the key may use."),
)
async def models(request: Request, principal: _Searcher) -> Response:
    """The models' names are those of the indexes."""
    service: Service = request.app.state.service
    names = [name for name in service.indexes if principal.may_use(name)]
    data = [ModelReply(id=name, created=0, owned_by="interbert") for name in names]
    return _answer(ModelsReply(data=data))


@router.post(
    "/v1/rerank",
    summary="Put images or products in order (Cohere v1, Jina)",
    response_model=RerankReply,
    responses=example(RERANKED, "Documents, best first.") | _ERRORS,
)
async def rerank(request: Request, asked: RerankRequest, principal: _Searcher) -> Response:
    """Probabilities of a match of the query with images, and with products by the image that fits best."""
    return await _reranked(request, asked, principal, "1")


@router.post(
    "/v2/rerank",
    summary="Put images or products in order (Cohere v2)",
    response_model=RerankReply,
    responses=example(RERANKED, "Documents, best first.") | _ERRORS,
)
async def rerank_v2(request: Request, asked: RerankRequest, principal: _Searcher) -> Response:
    """As `/v1/rerank`."""
    return await _reranked(request, asked, principal, "2")


async def _reranked(request: Request, asked: RerankRequest, principal: Principal, version: str) -> Response:
    service: Service = request.app.state.service
    served = service.index(asked.model, principal)
    _require_batch(service, len(asked.documents), "documents")
    _require_lengths(service, {"query": asked.query})
    scores = await _scores(service, served, asked.query, asked.documents)
    order = sorted(range(len(scores)), key=lambda place: (-scores[place], place))[: asked.top_n]
    results = [
        Ranked(index=place, relevance_score=scores[place], document=_shown(asked.documents[place]))
        if asked.return_documents
        else Ranked(index=place, relevance_score=scores[place])
        for place in order
    ]
    meta = {"api_version": {"version": version}, "billed_units": {"search_units": 1}}
    usage = await _usage(served, [asked.query])
    return _answer(
        RerankReply(id=str(uuid.uuid4()), model=served.name, results=results, usage=usage, meta=meta), exclude_none=True
    )


async def _scores(service: Service, served: ServedIndex, query: str, documents: Sequence[Document]) -> list[float]:
    """Probability of each document; images are decoded and scored one after the other, so that few are in memory."""
    images = {place: one.image or one.text or "" for place, one in enumerate(documents) if _is_image(one)}
    products = {place: one.product_id or one.text or "" for place, one in enumerate(documents) if place not in images}
    found = await product_scores(served, query, products)
    for place, uri in images.items():
        async with service.image_slots.taking():
            where = f"documents[{place}]"
            image = await run_in_threadpool(decoded, uri, where, service.limits.image_megapixels)
            found[place] = (await served.pipeline.score(query, [image]))[0]
    return [found[place] for place in range(len(documents))]


def _is_image(document: Document) -> bool:
    return document.image is not None or is_data_uri(document.text or "")


def _shown(document: Document) -> dict[str, str]:
    return document.model_dump(exclude_none=True)


async def _usage(served: ServedIndex, texts: list[str]) -> Usage:
    ids = await run_in_threadpool(served.engine.encoder.texts_to_ids, texts) if texts else []
    tokens = sum(map(len, ids))
    return Usage(prompt_tokens=tokens, total_tokens=tokens)


def _require_batch(service: Service, count: int, where: str) -> None:
    if count > service.limits.batch:
        raise ServiceError("too_large", f"At most {service.limits.batch} at a time, not {count}.", where)


def _require_lengths(service: Service, texts: dict[str, str]) -> None:
    for where, text in texts.items():
        require_length(text, service.limits.query_characters, where)


def _base64(vector: Float32) -> str:
    return base64.b64encode(vector.astype("<f4").tobytes()).decode("ascii")


def _answer(reply: BaseModel, exclude_none: bool = False) -> Response:
    return Response(reply.model_dump_json(exclude_none=exclude_none), media_type="application/json")
