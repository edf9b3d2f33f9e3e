"""How long a run has taken and how fast it trains: two numbers of every log line."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager


class Throughput:
    """Wall-clock time of a run, and its rate without validating and saving.

    Args:
        pairs_per_step: true pairs of one optimizer step, over all processes.
        clock: seconds from any start.
    """

    def __init__(self, pairs_per_step: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._pairs = pairs_per_step
        self._clock = clock
        self.start(0)

    def start(self, step: int, before: float = 0.0) -> None:
        """Begin to measure.

        Args:
            step: steps done before.
            before: seconds that they took; the time in which a run stood still does not count.
        """
        self._step = step
        self._began = self._clock() - before
        self._marked = self._clock()
        self._aside = 0.0

    @property
    def seconds(self) -> float:
        """Since the run began, everything included."""
        return self._clock() - self._began

    @contextmanager
    def aside(self) -> Iterator[None]:
        """A block whose time is no training."""
        entered = self._clock()
        try:
            yield
        finally:
            self._aside += self._clock() - entered

    def pairs_per_second(self, step: int) -> float | None:
        """Rate since this was asked last; None when no step was done since."""
        now = self._clock()
        taken, steps = now - self._marked - self._aside, step - self._step
        self._step, self._marked, self._aside = step, now, 0.0
        return steps * self._pairs / taken if steps > 0 and taken > 0 else None
