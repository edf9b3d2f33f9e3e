"""Tasks: writes that go on after their answer."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Path, Query, Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import JSONResponse

from interbert.service.access import Principal, require
from interbert.service.errors import ServiceError
from interbert.service.product_writes import task_body
from interbert.service.schemas.common import errors, example
from interbert.service.schemas.products import TASK, TaskReply, TasksReply
from interbert.service.service import Service
from interbert.service.state import Task
from interbert.service.state.records import LISTED_ERRORS

router = APIRouter(tags=["tasks"])

Writer = Annotated[Principal, Depends(require("write"))]


@router.get(
    "/v1/tasks/{task_id}",
    summary="A write, and how far it is",
    response_model=TaskReply,
    responses=example(TASK, "The task.") | errors("not_found"),
)
async def task(
    request: Request,
    principal: Writer,
    task_id: Annotated[str, Path(max_length=100, description="As `Location` has it.", examples=[TASK["id"]])],
) -> Response:
    """State, lines done, the first 1,000 errors by line, and what it waits for; results by line when it is finished."""
    service: Service = request.app.state.service
    found = await run_in_threadpool(service.state.tasks.get, task_id)
    if not principal.may_use(found.index):
        raise ServiceError("not_found", "There is no such task.", "task_id")
    return JSONResponse(task_shown(service, found, most=LISTED_ERRORS))


@router.get(
    "/v1/tasks",
    summary="The writes of an index",
    response_model=TasksReply,
    responses=example({"tasks": [TASK]}, "Tasks, newest first.") | errors("not_found"),
)
async def tasks(
    request: Request,
    principal: Writer,
    index: Annotated[str | None, Query(max_length=100, description="The first one when left out.")] = None,
    limit: Annotated[int, Query(ge=1, le=1000, description="So many at most.")] = 20,
) -> Response:
    """Without the results by line, and with the first 100 errors of each."""
    service: Service = request.app.state.service
    served = service.index(index, principal)
    found = await run_in_threadpool(service.state.tasks.list, served.name, limit)
    return JSONResponse({"tasks": [task_shown(service, one) | {"results": None} for one in found]})


def task_shown(service: Service, task: Task, most: int = 100) -> dict[str, object]:
    """A task as it is sent, with so many of its errors at most, and what it waits for."""
    served = service.indexes.get(task.index)
    note = None if served is None or served.writer is None else served.writer.note(task.id)
    return task_body(task, note, most)
