"""For the page of operations: the service's numbers as JSON, and a rebuild of an index. Both need the right `admin`."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path, Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import JSONResponse

from interbert import __version__
from interbert.service.access import Principal, require
from interbert.service.errors import ServiceError
from interbert.service.metrics import Metrics
from interbert.service.numbers import by_label, counted, queue_numbers, second_numbers
from interbert.service.product_writes import task_body
from interbert.service.routes.tasks import task_shown
from interbert.service.schemas.common import errors, example
from interbert.service.schemas.products import TaskReply
from interbert.service.schemas.status import REBUILD_TASK, STATUS, StatusReply
from interbert.service.service import ServedIndex, Service

router = APIRouter(tags=["operations"])

Admin = Annotated[Principal, Depends(require("admin"))]


@router.get(
    "/v1/status",
    summary="The service in numbers",
    response_model=StatusReply,
    responses=example(STATUS, "Since its start.") | errors("state_unavailable"),
)
async def status(request: Request, principal: Admin) -> Response:
    """Readiness by part, queues, rejections, milliseconds by stage, versions of indexes, tasks at work.

    The same numbers as `/metrics`, which is for machines. Indexes and tasks are those that the key may use.
    """
    service: Service = request.app.state.service
    checks = await service.checks()  # it brings the numbers of indexes up to date
    indexes = [one for name, one in service.indexes.items() if principal.may_use(name)]
    tasks: list[Any] = []
    if checks["state"]:
        tasks = list(await run_in_threadpool(service.state.tasks.unfinished, [one.name for one in indexes]))
    reply = {
        "version": __version__,
        "uptime_s": round(service.uptime, 1),
        "ready": all(checks.values()),
        "checks": checks,
        "indexes": [_index(service, one) for one in indexes],
        **_numbers(service.metrics),
        "tasks": [task_shown(service, one) | {"results": None} for one in tasks],
    }
    return JSONResponse(reply)


@router.post(
    "/v1/indexes/{name}/rebuild",
    summary="Build an index anew",
    status_code=202,
    response_model=TaskReply,
    responses=example(REBUILD_TASK, "It goes on as a task: see `Location`.", 202)
    | errors("not_found", "conflict", "index_unavailable", "storage_full", "state_unavailable", "draining"),
)
async def rebuild(
    request: Request, principal: Admin, name: Annotated[str, Path(max_length=100, examples=["shop"])]
) -> Response:
    """From the source that `--rebuild-source` named at the start, with the index's model and columns.

    Searches go on with the index as it is until the new one is complete; writes wait for it. What was written over
    HTTP and is not in the source is gone afterwards. One rebuild of an index at a time.
    """
    service: Service = request.app.state.service
    served = service.index(name, principal)
    if service.rebuilds is None:
        raise ServiceError("invalid", "No source was chosen at the start: --rebuild-source.", "name")
    manifest = served.engine.index.manifest  # type: ignore[attr-defined]
    task = await run_in_threadpool(service.rebuilds.begin, served, manifest, principal.key_id)
    return JSONResponse(task_body(task), 202, {"Location": f"/v1/tasks/{task.id}"})


def _index(service: Service, served: ServedIndex) -> dict[str, Any]:
    """What the numbers say of an index, as of the last look."""
    metrics, name = service.metrics, served.name
    return {
        "name": name,
        "version": served.version,
        "images": int(counted(metrics.index_rows).get((name,), 0)),
        "unindexed": int(counted(metrics.unindexed_rows).get((name,), 0)),
        "reloads": int(counted(metrics.reloads).get((name,), 0)),
        "writes": by_label(counted(metrics.writes), name),
        "topic_pages": by_label(counted(metrics.topic_pages), name),
        "can_rebuild": service.rebuilds is not None and name in service.rebuilds.sources,
        "rebuild_command": "interbert index build MODEL SOURCE INDEX --rebuild",
    }


def _numbers(metrics: Metrics) -> dict[str, Any]:
    """The numbers of the process as a whole."""
    return {
        "queues": queue_numbers(metrics),
        "stages": second_numbers(metrics.stage_seconds, "stage"),
        "routes": second_numbers(metrics.request_seconds, "route"),
        "answers": by_label(counted(metrics.requests)),
        "rejections": by_label(counted(metrics.rejections)),
        "degraded": by_label(counted(metrics.degraded)),
        **{name: int(counted(getattr(metrics, name))[()]) for name in ("abandoned", "event_failures", "lost_queries")},
    }
