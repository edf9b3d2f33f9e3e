"""The service's numbers, and a rebuild that was begun, as answers."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from interbert.service.schemas.common import Reply
from interbert.service.schemas.products import TASK, TaskReply


class IndexStatus(Reply):
    """An index that is served."""

    name: str
    version: str = Field(description="That is searched.")
    images: int
    unindexed: int = Field(description="Images that the approximate index does not know; they are found all the same.")
    reloads: int = Field(description="Changes to a newer build since the start.")
    writes: dict[str, int] = Field(description="Images written since the start, by result.")
    topic_pages: dict[str, int] = Field(description="Looks at topic pages since the start, by result.")
    can_rebuild: bool = Field(description="Whether a source was chosen at the start: `--rebuild-source`.")
    rebuild_command: str = Field(description="What to type to build it anew.")


class QueueStatus(Reply):
    """A queue of work for the model."""

    name: str
    waiting: int = Field(description="Requests, now.")
    batches: int
    requests: int = Field(description="Requests of all batches.")
    mean_batch: float | None = Field(description="Requests of a batch.")


class Times(Reply):
    """Milliseconds since the start; quantiles are read off the buckets of `/metrics`."""

    count: int
    mean_ms: float | None
    p50_ms: float | None
    p95_ms: float | None


class StageTimes(Times):
    """Of a stage of a search."""

    stage: str


class RouteTimes(Times):
    """Of a route, in all."""

    route: str


class StatusReply(Reply):
    """The service in numbers, since its start."""

    version: str = Field(description="Of InterBERT.")
    uptime_s: float
    ready: bool
    checks: dict[str, bool] = Field(description="As of `/readyz`.")
    indexes: list[IndexStatus]
    queues: list[QueueStatus]
    stages: list[StageTimes]
    routes: list[RouteTimes]
    answers: dict[str, int] = Field(description="Requests by status.")
    rejections: dict[str, int] = Field(description="Requests refused, by reason.")
    degraded: dict[str, int] = Field(description="Answers in recall's order, by reason.")
    abandoned: int = Field(description="Requests whose client left before they were computed.")
    event_failures: int = Field(description="Failed writes of searches, which are tried again.")
    lost_queries: int = Field(description="Searches that were not recorded.")
    tasks: list[TaskReply] = Field(description="That wait or run, oldest first, without results by line.")


REBUILD_TASK: dict[str, Any] = TASK | {
    "kind": "index.rebuild",
    "total": None,
    "done": 0,
    "error_count": 0,
    "errors": [],
}
STATUS: dict[str, Any] = {
    "version": "0.2.0",
    "uptime_s": 86_400.0,
    "ready": True,
    "checks": {"models": True, "index": True, "state": True, "accepting": True},
    "indexes": [
        {
            "name": "shop",
            "version": "products_0001_ab12cd34@17",
            "images": 12_497,
            "unindexed": 3,
            "reloads": 1,
            "writes": {"added": 4},
            "topic_pages": {"written": 12, "same": 3},
            "can_rebuild": True,
            "rebuild_command": "interbert index build MODEL SOURCE INDEX --rebuild",
        }
    ],
    "queues": [{"name": "joint", "waiting": 0, "batches": 120, "requests": 300, "mean_batch": 2.5}],
    "stages": [{"stage": "joint", "count": 300, "mean_ms": 81.2, "p50_ms": 75.0, "p95_ms": 180.0}],
    "routes": [{"route": "/v1/search", "count": 300, "mean_ms": 120.5, "p50_ms": 110.0, "p95_ms": 240.0}],
    "answers": {"200": 300, "429": 2},
    "rejections": {"queue_full": 2},
    "degraded": {},
    "abandoned": 0,
    "event_failures": 0,
    "lost_queries": 0,
    "tasks": [REBUILD_TASK],
}
"""Answers, for examples."""
