"""Experiments in numbers."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

from fastapi import APIRouter, Depends, Request
from fastapi.concurrency import run_in_threadpool

from interbert.service.access import Principal, require
from interbert.service.routes.events import Days, IndexName
from interbert.service.schemas.common import errors, example
from interbert.service.schemas.experiments import EXPERIMENT, DifferenceReply, ExperimentReply, VariantReply
from interbert.service.service import ServedIndex, Service
from interbert.service.variant_statistics import differences, wilson

router = APIRouter(tags=["events"])


@router.get(
    "/v1/statistics/experiments",
    summary="Variants of an experiment side by side",
    response_model=ExperimentReply,
    responses=example(EXPERIMENT, "Click-through, empty answers and times of each variant.") | errors("not_found"),
)
async def experiments(
    request: Request,
    principal: Annotated[Principal, Depends(require("admin"))],
    index: IndexName = None,
    days: Days = 30,
) -> ExperimentReply:
    """Searches that were answered while an experiment ran; choose `days` so that they began with it."""
    service: Service = request.app.state.service
    served = service.index(index, principal)
    return await run_in_threadpool(_reply, service, served, days)


def _reply(service: Service, served: ServedIndex, days: float) -> ExperimentReply:
    """The database is asked, and intervals are computed, which is too much for the thread that answers."""
    found = service.state.events.variants(served.name, days)
    running = service.settings.experiments.get(served.name)
    return ExperimentReply(
        index=served.name,
        days=days,
        share=None if running is None else running.share,
        variants=[
            VariantReply.model_validate(
                {
                    "variant": one.variant,
                    "clients": one.clients,
                    "searches": one.searches,
                    "clicked": one.clicked,
                    "click_through": asdict(wilson(one.clicked, one.searches)),
                    "without_results": asdict(wilson(one.without_results, one.searches)),
                    "p50_ms": one.p50_ms,
                    "p99_ms": one.p99_ms,
                }
            )
            for one in found
        ],
        differences=[DifferenceReply.model_validate(asdict(one)) for one in differences(served.name, found)],
    )
