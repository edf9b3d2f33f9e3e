"""A page that shows different things: likely items first, but not the same look, brand or category again and again.

Shapes: n candidates, D vector size.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[Any]


def diversified(
    likely: Floats, vectors: Floats, facets: Sequence[Sequence[Hashable]], trade: float, count: int
) -> list[int]:
    """Choose items one by one, each for its probability less what it repeats.

    Maximal marginal relevance (Carbonell and Goldstein 1998): the next item is the one with the largest
    ``(1 - trade) * probability - trade * repetition``. Repetition is the mean of the cosine to the most alike item on
    the page and, for each facet, the share of the page that has the same value. Ties go to the earlier candidate.

    Args:
        likely: probability [n] of each candidate.
        vectors: [n,D], of length 1.
        facets: of each facet, such as brand, the value of each candidate; None values repeat nothing.
        trade: 0 orders by probability alone, 1 by novelty alone.
        count: how many to choose.

    Returns:
        places of the chosen, in their order.
    """
    left = list(range(len(likely)))
    chosen: list[int] = []
    nearest = np.zeros(len(likely))
    seen: list[Counter[Hashable]] = [Counter() for _ in facets]
    while left and len(chosen) < count:
        repeats = nearest.copy()
        for values, counter in zip(facets, seen, strict=True):
            repeats += np.array([counter[value] for value in values]) / max(len(chosen), 1)
        repeats /= 1 + len(facets)
        worth = (1 - trade) * likely - trade * repeats
        best = max(left, key=lambda place: (worth[place], -place))
        left.remove(best)
        chosen.append(best)
        nearest = np.maximum(nearest, vectors @ vectors[best])
        for values, counter in zip(facets, seen, strict=True):
            if values[best] is not None:
                counter[values[best]] += 1
    return chosen
