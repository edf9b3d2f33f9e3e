"""How many partitions a search looks into, and when there is an approximate index at all.

Texts lie far from all images, so the images nearest to a text are spread over more partitions than those nearest to
an image: a share that suffices for images loses a text's candidates (benchmarks/results/search_scale.md).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

INDEX_FROM = 20_000
"""Images from which an approximate index is made: below, comparing with all of them takes milliseconds."""
_EXACT_UP_TO = 20_000
_PARTITION_ROWS = 2_000
_LOOK_AT = 100_000
"""Images that are compared by their 8-bit codes; the number of partitions follows."""
_MORE = 2.0
"""So many times k are compared by their whole vectors."""


@dataclass(frozen=True)
class Probing:
    """How thoroughly to look."""

    partitions: int | None
    """Number of partitions to look into; None compares with every vector."""
    more: float = 1.0
    """The best so many times k are compared by their whole vectors."""


EXACT = Probing(None)


def partitions_for(rows: int) -> int:
    """How many partitions an index of so many images has."""
    return max(8, round(rows / _PARTITION_ROWS))


def needs_probing(matching: int) -> bool:
    """Whether ``matching`` images are too many to be compared one by one."""
    return matching > _EXACT_UP_TO


def probing(partitions: int, matching: int) -> Probing:
    """How to look among ``matching`` images that a filter lets through, in an index of so many partitions.

    A filter leaves a share of each partition, so that a narrower one looks into more of them.
    """
    return Probing(max(1, min(partitions, math.ceil(partitions * _LOOK_AT / matching))), _MORE)
