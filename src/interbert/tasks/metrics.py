"""Retrieval metrics of a full ranking: recall at k, median rank, and their bootstrap intervals.

Ties count against us (SPEC part 4): a right item's rank is one plus the number of wrong items that score at least as
much, so a model that gives everything one score gets nothing for it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from interbert.errors import DataError

RECALL_AT = (1, 5, 10)

Bool = NDArray[np.bool_]
Int64 = NDArray[np.int64]


@dataclass(frozen=True)
class Estimate:
    """A measured value with the bounds of its 95% bootstrap interval over queries."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class DirectionMetrics:
    """One direction of retrieval."""

    recall: dict[str, Estimate]
    """``r@1``, ``r@5``, ``r@10`` in percent."""
    chance: dict[str, float]
    """The same of a random ranking, in percent."""
    median_rank: float
    """1 is best."""
    n: int
    """Queries."""
    candidates: int

    def to_dict(self) -> dict[str, Any]:
        """Plain numbers, for JSON."""
        return asdict(self)


@dataclass(frozen=True)
class RetrievalMetrics:
    """Both directions of retrieval over one set of texts and pictures."""

    text_to_image: DirectionMetrics
    image_to_text: DirectionMetrics

    def to_dict(self) -> dict[str, Any]:
        """Plain numbers, for JSON."""
        return asdict(self)


def retrieval_metrics(
    scores: NDArray[np.floating], relevant: Bool, bootstrap: int = 1000, seed: int = 0
) -> RetrievalMetrics:
    """Metrics of scores [texts, pictures] against ``relevant`` bool [texts, pictures].

    Raises:
        DataError: a score is not finite, or a text or picture has nothing right.
    """
    assert scores.shape == relevant.shape, (scores.shape, relevant.shape)
    return RetrievalMetrics(
        direction_metrics(scores, relevant, bootstrap, seed),
        direction_metrics(scores.T, relevant.T, bootstrap, seed),
    )


def direction_metrics(
    scores: NDArray[np.floating], relevant: Bool, bootstrap: int = 1000, seed: int = 0
) -> DirectionMetrics:
    """Metrics of queries (rows) over candidates (columns)."""
    ranks = best_ranks(scores, relevant)
    hits = {f"r@{k}": (ranks <= k) * 100.0 for k in RECALL_AT}
    right, candidates = relevant.sum(axis=1), relevant.shape[1]
    chance = {f"r@{k}": 100.0 * chance_recall(right, candidates, k) for k in RECALL_AT}
    recall = estimates(hits, bootstrap, seed)
    return DirectionMetrics(recall, chance, float(np.median(ranks)), len(ranks), candidates)


def estimates(of_queries: Mapping[str, NDArray[np.floating]], bootstrap: int, seed: int) -> dict[str, Estimate]:
    """Mean of each metric over queries, with its interval; every metric is resampled alike.

    Args:
        of_queries: name -> value of each query [n].
        bootstrap: resamplings; 0 gives intervals of no width.
        seed: of the resampling.
    """
    count = len(next(iter(of_queries.values())))
    samples = np.random.default_rng(seed).integers(0, count, (bootstrap, count))
    found = {}
    for name, values in of_queries.items():
        means = values[samples].mean(axis=1) if bootstrap else values.mean(keepdims=True)
        low, high = np.percentile(means, [2.5, 97.5])
        found[name] = Estimate(float(values.mean()), float(low), float(high))
    return found


def best_ranks(scores: NDArray[np.floating], relevant: Bool) -> Int64:
    """Rank [n] of the best right candidate of each query: 1 + wrong candidates that score at least as much."""
    if not np.isfinite(scores).all():
        raise DataError("a score is NaN or infinite: the model is damaged or its training diverged.")
    if not relevant.any(axis=1).all():
        raise DataError(f"query {int(np.argmin(relevant.any(axis=1)))} has no right candidate: it cannot be judged.")
    best = np.where(relevant, scores, -np.inf).max(axis=1, keepdims=True)
    ranks: Int64 = 1 + ((scores >= best) & ~relevant).sum(axis=1)
    return ranks


def chance_recall(right: Int64, candidates: int, k: int) -> float:
    """Expected recall@k of a random ranking: 1 - C(candidates - right, k)/C(candidates, k), averaged over queries."""
    k = min(k, candidates)
    missed = np.ones(len(right))
    for place in range(k):
        missed *= np.clip(candidates - right - place, 0, None) / (candidates - place)
    return float(1.0 - missed.mean())
