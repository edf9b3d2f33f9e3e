"""So many requests at a time of a kind that takes much, and so many that wait behind them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from interbert.service.errors import ServiceError
from interbert.service.metrics import Metrics


class Slots:
    """Requests of a kind that are at work at a time, and that may wait for it.

    Args:
        most: at work at a time.
        waiting: requests that may wait for a slot; more are refused.
        metrics: counts refusals.
        full: what a refused request is told: why there is no slot.
    """

    def __init__(self, most: int, waiting: int, metrics: Metrics, full: str) -> None:
        self._free = asyncio.Semaphore(most)
        self._most, self._waiting, self._metrics, self._full = waiting, 0, metrics, full

    @asynccontextmanager
    async def taking(self) -> AsyncIterator[None]:
        """Hold a slot.

        Raises:
            ServiceError: ``overloaded``.
        """
        if self._free.locked() and self._waiting >= self._most:
            self._metrics.rejections.labels("queue_full").inc()
            raise ServiceError("overloaded", f"{self._full} Try again later.", retry_after=1.0)
        self._waiting += 1
        try:
            await self._free.acquire()
        finally:
            self._waiting -= 1
        try:
            yield
        finally:
            self._free.release()
