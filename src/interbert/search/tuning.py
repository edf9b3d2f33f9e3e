"""How many partitions a search looks into, and when there is an approximate index at all.

Texts lie far from all pictures, so the pictures nearest to a text are spread over more partitions than those nearest to
a picture: shares that suffice for pictures lose a text's candidates (benchmarks/results/search_scale.md).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

INDEX_FROM = 20_000
"""Pictures from which an approximate index is made: below, comparing with all of them takes milliseconds."""
_EXACT_UP_TO = 20_000
_PARTITION_ROWS = 2_000
_LOOK_AT = 100_000
"""Pictures whose codes are compared; the share of partitions follows."""
_REFINED = 500
"""Pictures whose whole vectors are compared."""


@dataclass(frozen=True)
class Probing:
    """How thoroughly to look."""

    partitions: int | None
    """Number of partitions to look into; None compares with every vector."""
    refine: int | None
    """The best so many times k are compared by their whole vectors."""


def partitions_for(rows: int) -> int:
    """How many partitions an index of so many pictures has."""
    return max(8, round(rows / _PARTITION_ROWS))


def probing(indexed: int, matching: int, k: int) -> Probing:
    """How to look for ``k`` among ``matching`` pictures that a filter lets through, ``indexed`` ones being there."""
    if not indexed or matching <= _EXACT_UP_TO:
        return Probing(None, None)
    partitions = partitions_for(indexed)
    share = min(1.0, _LOOK_AT / matching)
    return Probing(max(1, min(partitions, math.ceil(partitions * share))), max(2, math.ceil(_REFINED / k)))
