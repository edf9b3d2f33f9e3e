"""Searches that were answered, written to the database in the background: none waits for it, and none fails with it."""

from __future__ import annotations

import asyncio
import logging
import time
from typing import TYPE_CHECKING

from fastapi.concurrency import run_in_threadpool

from interbert.errors import first_line
from interbert.service.errors import ServiceError
from interbert.service.metrics import Metrics

if TYPE_CHECKING:
    from interbert.service.state import State
    from interbert.service.state.records import SeenQuery

_log = logging.getLogger(__name__)
_SECONDS = 1.0
"""Between two batches."""
_WAITING = 10_000
"""Searches that wait for a database that is away; those after them are counted as lost."""
_BATCH = 500
_LOGGED = 60.0
"""Seconds between two lines of the log about a database that fails."""


class SeenQueries:
    """A buffer of searches, and the task that writes them.

    Args:
        state: the database.
        metrics: counts what is lost.
    """

    def __init__(self, state: State, metrics: Metrics) -> None:
        self._state, self._metrics = state, metrics
        self._waiting: list[SeenQuery] = []
        self._task: asyncio.Task[None] | None = None
        self._writing = asyncio.Lock()
        self._logged = -_LOGGED

    def add(self, seen: SeenQuery) -> None:
        """Keep a search for the next batch."""
        if len(self._waiting) < _WAITING:
            self._waiting.append(seen)
        else:
            self._metrics.lost_queries.inc()

    def waiting(self) -> set[str]:
        """Ids of searches that are not in the database yet."""
        return {seen.query_id for seen in self._waiting}

    async def flush(self) -> bool:
        """Write what waits now; False when the database failed, and the rest waits on."""
        async with self._writing:
            while self._waiting:
                if not await self._write():
                    return False
        return True

    def start(self) -> None:
        """Write a batch every second from now on."""
        self._task = asyncio.create_task(self._write_for_ever())

    async def stop(self) -> None:
        """Write what waits, and end."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None
        if not await self.flush():
            self._metrics.lost_queries.inc(len(self._waiting))
            _log.error("%d searches are not in the database, which cannot be reached", len(self._waiting))

    async def _write_for_ever(self) -> None:
        while True:
            await asyncio.sleep(_SECONDS)
            await self.flush()

    async def _write(self) -> bool:
        """Write a batch; False when the database failed, and the batch waits on."""
        batch = self._waiting[:_BATCH]
        try:
            await asyncio.shield(run_in_threadpool(self._state.events.queries_seen, batch))
        except Exception as error:  # whatever a database raises, searches go on
            self._metrics.event_failures.inc()
            if time.monotonic() - self._logged >= _LOGGED:
                self._logged = time.monotonic()
                message = error.message if isinstance(error, ServiceError) else first_line(error)
                _log.warning("%d searches wait to be written: %s", len(self._waiting), message)
            return False
        del self._waiting[: len(batch)]
        return True
