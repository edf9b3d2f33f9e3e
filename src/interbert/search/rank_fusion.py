"""Several orders made one, and near-duplicates made one result.

Shapes: n candidates, D vector size.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from interbert.search.hits import Hit
from interbert.search.vectors import unit_rows

Floats = NDArray[Any]

_RANK_OFFSET = 60  # Cormack, Clarke and Buettcher 2009


def standardised(scores: Floats) -> Floats:
    """Scores [n] with mean 0 and deviation 1, so that scores of two kinds can be added."""
    spread = float(scores.std())
    return (scores - scores.mean()) / spread if spread > 1e-9 else np.zeros_like(scores)


def reciprocal_ranks(scores: Floats, others: Sequence[int | None]) -> Floats:
    """Scores [n] and a second order of the same candidates as one score: sum of 1 / (60 + rank).

    Reciprocal rank fusion (Cormack, Clarke and Buettcher 2009): the two need no common scale.

    Args:
        scores: higher is better.
        others: place of each candidate in the second order from 0, None where it is not in it.
    """
    places = np.empty(len(scores))
    places[np.argsort(-scores, kind="stable")] = np.arange(len(scores))
    second = np.array([0.0 if place is None else 1.0 / (_RANK_OFFSET + 1 + place) for place in others])
    fused: Floats = 1.0 / (_RANK_OFFSET + 1 + places) + second
    return fused


def deduplicated(vectors: Sequence[Floats], size: int, threshold: float | None) -> list[list[int]]:
    """Groups of candidates, best first; each later near-duplicate joins the group of the first that it resembles.

    Args:
        vectors: [D] of each candidate, in order of rank.
        size: so many of their numbers say what is shown.
        threshold: cosine from which two are near-duplicates; None makes no groups.
    """
    if threshold is None or not vectors:
        return [[place] for place in range(len(vectors))]
    unit = unit_rows(np.stack([vector[:size] for vector in vectors]).astype(np.float32))
    groups: list[list[int]] = []
    for place, line in enumerate(unit @ unit.T):
        home = next((group for group in groups if line[group[0]] >= threshold), None)
        if home is None:
            groups.append([place])
        else:
            home.append(place)
    return groups


def page_of(
    hits: Sequence[Hit],
    order: NDArray[Any],
    probability: NDArray[Any] | None,
    top_k: int,
    duplicates: float | None,
    size: int,
) -> list[Hit]:
    """Groups of near-duplicates, by the first ``size`` numbers of their vectors, as results."""
    best = sorted(range(len(hits)), key=lambda place: (-float(order[place]), hits[place].id))
    groups = deduplicated([hits[place].vector for place in best], size, duplicates)
    members = [[best[place] for place in group] for group in groups[:top_k]]
    return [
        Hit.of(
            rank,
            [hits[place] for place in group],
            float(order[group[0]]),
            None if probability is None else float(probability[group[0]]),
        )
        for rank, group in enumerate(members, start=1)
    ]


def one_per_product(hits: Sequence[Hit], query: Floats) -> list[Hit]:
    """Each product's image that is nearest to the query, in order of nearness."""
    best: dict[str, Hit] = {}
    for hit in sorted(hits, key=lambda hit: (-float(hit.vector @ query), hit.id)):
        best.setdefault(hit.product_id, hit)
    return list(best.values())
