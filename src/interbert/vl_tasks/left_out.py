"""What a reader of an official file leaves out: counted, listed, never silent."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class LeftOut:
    """One row of an official file that gives no example."""

    file: str
    row: int
    """As editors count lines, or the number of the element in its list, from 1."""
    id: str
    reason: str
