"""Why a text and an image match."""

from __future__ import annotations

import time
from typing import Annotated

from fastapi import APIRouter, Depends, Request, Response
from fastapi.concurrency import run_in_threadpool

from interbert.explain import Explanation
from interbert.service.access import Principal, require
from interbert.service.errors import require_length
from interbert.service.explaining import explain_image, explain_product
from interbert.service.images import decoded
from interbert.service.schemas.common import errors, example
from interbert.service.schemas.explain import EXPLAINED, ExplainReply, ExplainRequest, RegionReply, WordReply
from interbert.service.service import Service

router = APIRouter(tags=["search"])
_ERRORS = errors("not_found", "bad_image", "overloaded", "index_unavailable")


@router.post(
    "/v1/explain",
    summary="Which words and regions a match rests on",
    response_model=ExplainReply,
    responses=example(EXPLAINED, "Relevance by word and region.") | _ERRORS,
)
async def explained(
    request: Request, asked: ExplainRequest, principal: Annotated[Principal, Depends(require("search"))]
) -> Response:
    """Relevance of words and regions to the joint model's score, and the score without the most relevant ones.

    Explanations are computed one after the other; searches do not wait for them.
    """
    began = time.perf_counter()
    service: Service = request.app.state.service
    served = service.index(asked.index, principal)
    require_length(asked.text, service.limits.query_characters, "text")
    experiment = service.settings.experiments.get(served.name)
    treated = experiment is not None and asked.variant == experiment.treatment
    answering = service.indexes[asked.variant or ""] if treated else served
    view = await run_in_threadpool(answering.engine.pinned)
    image_id: str | None = None
    if asked.image is not None:
        async with service.image_slots.taking():
            image = await run_in_threadpool(decoded, asked.image, "image", service.limits.image_megapixels)
            found = await service.explanations.compute(lambda: explain_image(view, asked.text, image))
    else:
        product = asked.product_id or ""
        image_id, found = await service.explanations.compute(lambda: explain_product(view, asked.text, product))
    took = 1000 * (time.perf_counter() - began)
    reply = _reply(found, image_id, served.name, view.version, took)
    return Response(reply.model_dump_json(), media_type="application/json")


def _reply(found: Explanation, image_id: str | None, index: str, version: str, took_ms: float) -> ExplainReply:
    return ExplainReply(
        probability=found.probability,
        score=found.logit_difference,
        dual_score=found.dual_score,
        counts=found.counts,
        words=[
            WordReply(text=one.text, relevance=one.relevance, score_without=one.score_without) for one in found.words
        ],
        regions=[
            RegionReply(box=list(one.box), relevance=one.relevance, score_without=one.score_without)
            for one in found.regions
        ],
        global_relevance=found.global_relevance,
        image_id=image_id,
        index=index,
        index_version=version,
        took_ms=round(took_ms, 3),
    )
