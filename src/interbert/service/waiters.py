"""Requests that wait on the event loop for a task that a thread, or another replica, finishes."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections import defaultdict
from collections.abc import Callable

from fastapi.concurrency import run_in_threadpool

from interbert.service.state import Task

_LOOK_SECONDS = 0.25
"""Between two looks at a task, which another replica may finish."""


class Waiters:
    """Who waits for which task.

    Args:
        get: reads a task.
    """

    def __init__(self, get: Callable[[str], Task]) -> None:
        self._get = get
        self._lock = threading.Lock()
        self._waiting: dict[str, list[tuple[asyncio.AbstractEventLoop, asyncio.Future[Task]]]] = defaultdict(list)

    async def wait(self, task_id: str, seconds: float) -> Task:
        """A task when it is finished, or as it is after so many seconds.

        Raises:
            ServiceError: ``not_found``, ``state_unavailable``.
        """
        loop = asyncio.get_running_loop()
        entry = (loop, loop.create_future())
        with self._lock:
            self._waiting[task_id].append(entry)
        try:
            ends = loop.time() + seconds
            while True:
                task = await run_in_threadpool(self._get, task_id)  # after it is known who waits: else it may be missed
                left = ends - loop.time()
                if task.finished_at is not None or left <= 0:
                    return task
                await asyncio.wait({entry[1]}, timeout=min(left, _LOOK_SECONDS))
                if entry[1].done():
                    return entry[1].result()
        finally:
            with self._lock:
                self._waiting[task_id].remove(entry)
                if not self._waiting[task_id]:
                    del self._waiting[task_id]

    def tell(self, task: Task) -> None:
        """Give a finished task to those who wait for it; called by any thread."""
        with self._lock:
            waiting = list(self._waiting.get(task.id, []))
        for loop, future in waiting:
            with contextlib.suppress(RuntimeError):  # the loop is closed
                loop.call_soon_threadsafe(_resolve, future, task)


def _resolve(future: asyncio.Future[Task], task: Task) -> None:
    if not future.done():
        future.set_result(task)
