"""A bounded queue whose requests are computed together, in batches, in threads beside the event loop.

A batch is what has gathered while the one before was computed; idle threads share it. Nothing waits for others to
come, unless a later stage has enough to do: then the batches of an earlier one become larger, which costs nobody time.
The oldest request is in every next batch, so none waits for ever; others of its group join it in the order in which
they came, as far as the budget of tokens allows. Requests whose clients left are dropped before they are computed,
equal ones computed once.
"""

from __future__ import annotations

import asyncio
import logging
import math
import statistics
from collections import deque
from collections.abc import Callable, Hashable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import torch

from interbert.errors import InterBertError
from interbert.service.errors import ServiceError
from interbert.service.metrics import Metrics
from interbert.service.work import Done, Entry, Gone, Work

logger = logging.getLogger(__name__)

_REMEMBERED = 32
"""Batches that the rate is estimated from."""
_LOOK = 0.005
"""Seconds between two looks at a later stage."""
_LEAST_RETRY, _MOST_RETRY = 1.0, 60.0
"""Seconds; HTTP's Retry-After knows whole ones."""


class BatchQueue:
    """A bounded queue of :class:`Work`, computed in batches.

    Args:
        name: in metrics.
        tokens: of a batch, at most; work that has more by itself is computed alone.
        waiting: requests that may wait.
        metrics: where lengths, batch sizes, refused and dropped requests are counted.
        threads: batches that are computed at a time.
        torch_threads: threads of torch for each of them.
        later_is_busy: whether what is computed here would only have to wait in a later stage; then patient work gathers
            here.
        patience: seconds that it does so at most.
    """

    def __init__(
        self,
        name: str,
        tokens: int,
        waiting: int,
        metrics: Metrics,
        threads: int = 1,
        torch_threads: int = 1,
        later_is_busy: Callable[[], bool] = lambda: False,
        patience: float = 0.0,
    ) -> None:
        self.name = name
        self._tokens = tokens
        self._most_waiting = waiting
        self._metrics = metrics
        self._length = metrics.queue_length.labels(name)
        self._threads = threads
        self._torch_threads = torch_threads
        self._later_is_busy = later_is_busy
        self._patience = patience
        self._waiting: dict[Entry, None] = {}
        """In the order in which they came."""
        self._waiting_tokens = 0
        self._computed_tokens = 0
        """Of the batches that are being computed."""
        self._computing = 0
        """Threads that compute."""
        self._last: deque[tuple[float, float]] = deque(maxlen=_REMEMBERED)
        """Of the last batches: seconds of a token, tokens of a request."""
        self._last_retry = 0.0
        """When the last refused request may come again."""
        self._executor: ThreadPoolExecutor | None = None
        self._arrived = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []

    def __len__(self) -> int:
        """Requests that wait."""
        return len(self._waiting)

    def start(self) -> None:
        """Begin to compute. In a running event loop."""
        self._executor = ThreadPoolExecutor(
            self._threads, f"interbert-{self.name}", torch.set_num_threads, (self._torch_threads,)
        )
        self._tasks = [asyncio.create_task(self._run()) for _ in range(self._threads)]

    async def stop(self) -> None:
        """End, after the batches that are being computed; what waits is not computed any more."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._executor is not None:
            await asyncio.to_thread(self._executor.shutdown)

    def is_busy(self) -> bool:
        """Whether a full batch waits for each thread."""
        return self._waiting_tokens >= self._threads * self._tokens

    def is_idle(self) -> bool:
        """Whether nothing waits and nothing is computed."""
        return self.idle() == self._threads

    def idle(self) -> int:
        """Threads that have nothing to compute, and nothing waits for them."""
        return max(0, self._threads - self._computing - len(self._waiting))

    def expected_wait(self, ahead: int = 0) -> float:
        """Seconds until a new request would be computed, by the last batches; 0 before the first.

        Args:
            ahead: requests that are not in the queue yet, but come before the new one.
        """
        pace, tokens = self._pace()
        return pace * (self._waiting_tokens + self._computed_tokens / 2 + ahead * tokens) / self._threads

    def expected_seconds(self, tokens: int | None = None) -> float:
        """Seconds of a batch of so many tokens, or of those of a request; 0 as of :meth:`expected_wait`."""
        pace, of_request = self._pace()
        return pace * (of_request if tokens is None else tokens)

    def _pace(self) -> tuple[float, float]:
        """Seconds of a token, and tokens of a request: medians, which one slow batch does not change."""
        if not self._last:
            return 0.0, 0.0
        seconds, tokens = (float(statistics.median(numbers)) for numbers in zip(*self._last, strict=True))
        return seconds, tokens

    def require_place(self, ahead: int = 0, patience: float = float("inf")) -> None:
        """Check that the queue takes one more request.

        Args:
            ahead: as of :meth:`expected_wait`.
            patience: seconds; a queue whose requests take longer is full too, since the new one would come too late.

        Raises:
            ServiceError: "overloaded", with the seconds after which there will be room.
        """
        wait, before = self.expected_wait(ahead), len(self) + ahead
        if before < self._most_waiting and (not before or wait <= patience):
            return
        self._metrics.rejections.labels("queue_full").inc()
        raise ServiceError(
            "overloaded",
            f"{before} requests wait already. Send it again after the seconds of Retry-After.",
            retry_after=self._retry_after(wait),
        )

    def _retry_after(self, wait: float) -> float:
        """Seconds after which a refused request may come again: one after the other, as fast as they are computed.

        If all came again at once, refusing them would take the time of answering them.
        """
        now = asyncio.get_running_loop().time()
        pace, tokens = self._pace()
        self._last_retry = max(now + max(_LEAST_RETRY, wait / 2), self._last_retry + pace * tokens / self._threads)
        self._last_retry = min(self._last_retry, now + _MOST_RETRY)
        return self._last_retry - now

    async def compute(self, work: Work, gone: Gone | None = None, within: float | None = None) -> Done:
        """Put work into the queue, whether it is full or not, and wait for its result.

        Args:
            work: what to compute.
            gone: asked before it is computed.
            within: seconds to wait; None for ever. What would not be ready by then is not computed.

        Raises:
            InterBertError: of this work.
            ServiceError: "internal", when its batch failed; "client_left", when it was dropped.
            TimeoutError: it was not ready in time.
        """
        loop = asyncio.get_running_loop()
        now = loop.time()
        entry = Entry(work, gone, now, float("inf") if within is None else now + within, loop.create_future())
        self._waiting[entry] = None
        self._waiting_tokens += work.tokens
        self._length.inc()
        self._arrived.set()
        try:
            return await asyncio.wait_for(entry.future, within)
        except asyncio.CancelledError:
            if not entry.started:
                self._metrics.abandoned.inc()
            raise
        finally:
            self._take(entry)

    def _take(self, entry: Entry) -> None:
        """Take a request out of those that wait, if it is still there."""
        if entry in self._waiting:
            del self._waiting[entry]
            self._waiting_tokens -= entry.work.tokens
            self._length.dec()

    async def _run(self) -> None:
        """Compute one batch after the other."""
        while True:
            while not self._waiting:
                self._arrived.clear()
                await self._arrived.wait()
            if self._gathers():
                await asyncio.sleep(_LOOK)
                continue
            batch = self._formed()
            tokens = sum(entry.work.tokens for entry in batch)
            self._computed_tokens += tokens
            self._computing += 1
            try:
                # nothing is ahead of a lone request: whatever the last batches took, it is tried until its deadline
                lone = len(batch) == 1 and self._computing == 1 and not self._waiting
                seconds = 0.0 if lone else self.expected_seconds(tokens)
                await self._compute([entry for entry in batch if await self._stays(entry, seconds)])
            except Exception as error:
                self._fail(batch, error)
            finally:
                self._computed_tokens -= tokens
                self._computing -= 1

    def _gathers(self) -> bool:
        """Whether a batch can wait for more, since nobody would be served later by that."""
        oldest = next(iter(self._waiting)).entered
        waited = asyncio.get_running_loop().time() - oldest
        return waited < self._patience and self._later_is_busy() and all(one.work.patient for one in self._waiting)

    def _formed(self) -> list[Entry]:
        """The next batch, taken out of those that wait."""
        batch: list[Entry] = []
        keys: set[Hashable] = set()
        tokens = 0
        most = min(self._tokens, math.ceil(self._waiting_tokens / (self._threads - self._computing)))
        first = next(iter(self._waiting)).work
        for entry in self._waiting:
            work = entry.work
            added = 0 if work.key is not None and work.key in keys else work.tokens
            if work.group == first.group and (not batch or tokens + added <= most):
                batch.append(entry)
                keys.add(work.key)
                tokens += added
        for entry in batch:
            self._take(entry)
        return sorted(batch, key=lambda entry: entry.work.tokens)

    async def _stays(self, entry: Entry, seconds: float) -> bool:
        """Whether a request is still wanted after the seconds that its batch takes; otherwise it is ended."""
        if entry.gone is not None and not entry.future.done():
            try:
                left = await entry.gone()
            except Exception as error:
                self._fail([entry], error)
                return False
            if left and not entry.future.done():
                self._metrics.abandoned.inc()
                entry.future.set_exception(ServiceError("client_left", "The client left before it was computed."))
        if asyncio.get_running_loop().time() + seconds > entry.expires and not entry.future.done():
            entry.future.set_exception(TimeoutError())
        return not entry.future.done()  # it may have been cancelled, or run out of time, since the batch was formed

    def _fail(self, entries: Sequence[Entry], error: Exception) -> None:
        """End requests by an error that nobody foresaw."""
        logger.error("%d requests of the queue %r failed", len(entries), self.name, exc_info=error)
        for entry in entries:
            if not entry.future.done():
                failure = ServiceError("internal", "The request could not be computed; the service's log says why.")
                entry.future.set_exception(failure)

    async def _compute(self, batch: Sequence[Entry]) -> None:
        """Compute a batch and hand out its results."""
        if not batch:
            return
        same: dict[Hashable, list[Entry]] = {}
        for entry in batch:
            same.setdefault(entry if entry.work.key is None else (entry.work.key,), []).append(entry)
        works = [entries[0].work for entries in same.values()]
        for entry in batch:
            entry.started = True
        loop = asyncio.get_running_loop()
        began = loop.time()
        assert self._executor is not None
        results = await loop.run_in_executor(self._executor, _results, works)
        seconds = loop.time() - began
        tokens = sum(work.tokens for work in works)
        self._last.append((seconds / tokens, tokens / len(works)))
        self._metrics.batch_size.labels(self.name).observe(len(batch))
        for entries, result in zip(same.values(), results, strict=True):
            for entry in entries:
                if entry.future.done():
                    continue
                if isinstance(result, Exception):
                    entry.future.set_exception(result)
                else:
                    entry.future.set_result(Done(result, began - entry.entered, seconds))


def _results(works: Sequence[Work]) -> list[Any]:
    """Results, or errors of single ones: where a whole batch has a user's error each is computed by itself."""
    try:
        return list(works[0].compute([work.item for work in works]))
    except InterBertError as error:
        if len(works) == 1:
            return [error]
        return [result for work in works for result in _results([work])]
