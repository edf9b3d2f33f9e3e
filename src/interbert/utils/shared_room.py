"""How much the threads of a process hold at a time, together."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager


class SharedRoom:
    """An amount of memory, or of anything, that several threads share."""

    def __init__(self, amount: int) -> None:
        self._amount, self._taken = amount, 0
        self._changed = threading.Condition()

    @contextmanager
    def taking(self, part: int) -> Iterator[None]:
        """Wait until there is room; one that wants more than all of it waits until it is alone."""
        with self._changed:
            self._changed.wait_for(lambda: not self._taken or self._taken + part <= self._amount)
            self._taken += part
        try:
            yield
        finally:
            with self._changed:
                self._taken -= part
                self._changed.notify_all()
