"""What waits in a queue of the service: work, and its result."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Any

Gone = Callable[[], Awaitable[bool]]
"""Whether the client left."""
Compute = Callable[[Sequence[Any]], Sequence[Any]]
"""Results of items, in their order; the error of one item takes the place of its result."""


@dataclass(frozen=True)
class Work:
    """What a request wants to have computed."""

    item: Any
    compute: Compute
    tokens: int
    group: Hashable
    """Work of one group can be computed together, by the ``compute`` of any of them."""
    key: Hashable | None = None
    """Work of one group and key has one result; None is like no other."""
    patient: bool = False
    """May wait for others to join it while a later stage has enough to do: it would have to wait there otherwise."""


@dataclass(frozen=True)
class Done:
    """A result, and the seconds that it waited and that its batch was computed."""

    value: Any
    waited: float
    seconds: float


@dataclass(eq=False)
class Entry:
    """Work that waits."""

    work: Work
    gone: Gone | None
    entered: float
    expires: float
    future: asyncio.Future[Done]
    started: bool = False
