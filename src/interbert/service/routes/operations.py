"""For operators: is it alive, is it ready, its numbers. None needs a key."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import JSONResponse, PlainTextResponse

from interbert.service.errors import ServiceError
from interbert.service.schemas.common import errors, example
from interbert.service.service import Service

router = APIRouter(tags=["operations"])

_METRICS = "# HELP interbert_requests_total Requests answered\n# TYPE interbert_requests_total counter\n"
_CODES = {"models": "index_unavailable", "index": "index_unavailable", "state": "state_unavailable"}


@router.get("/livez", summary="Whether the process lives", responses=example({"alive": True}, "It does."))
async def livez() -> JSONResponse:
    """For a supervisor that restarts what does not answer; it looks at nothing else."""
    return JSONResponse({"alive": True})


_READY = {"ready": True, "checks": {"models": True, "index": True, "state": True, "accepting": True}}


@router.get(
    "/readyz",
    summary="Whether requests should be sent here",
    responses=example(_READY, "It is ready.") | errors("index_unavailable", "state_unavailable", "draining"),
)
async def readyz(request: Request) -> JSONResponse:
    """Models are warm, indexes can be read, the database answers, and the service is not about to stop.

    When it is not ready the answer has the shape of errors, and `checks` beside it.
    """
    service: Service = request.app.state.service
    checks = await service.checks()
    missing = [name for name, sound in checks.items() if not sound]
    if not missing:
        return JSONResponse({"ready": True, "checks": checks})
    code = "draining" if "accepting" in missing else _CODES[missing[0]]
    error = ServiceError(code, f"Not ready: {', '.join(missing)}.", missing[0])
    return JSONResponse(error.body() | {"ready": False, "checks": checks}, error.status)


@router.get(
    "/metrics",
    summary="Numbers for Prometheus",
    response_class=PlainTextResponse,
    responses=example(_METRICS, "Prometheus' text format.", media_type="text/plain"),
)
async def metrics(request: Request) -> Response:
    """Requests, seconds of stages, queues, rejections, versions and sizes of indexes; all names begin with
    `interbert_`.
    """
    service: Service = request.app.state.service
    await run_in_threadpool(service.look_at_indexes)
    return Response(service.metrics.text(), media_type="text/plain; version=0.0.4; charset=utf-8")
