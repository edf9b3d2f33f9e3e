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
_BATCH = 100
"""Resamplings held in memory at a time."""

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
    """Both directions of retrieval over one set of texts and images."""

    text_to_image: DirectionMetrics
    image_to_text: DirectionMetrics

    def to_dict(self) -> dict[str, Any]:
        """Plain numbers, for JSON."""
        return asdict(self)


def retrieval_metrics(
    scores: NDArray[np.floating], relevant: Bool, bootstrap: int = 1000, seed: int = 0
) -> RetrievalMetrics:
    """Metrics of scores [texts, images] against ``relevant`` bool [texts, images].

    Every image is a candidate of every text; one without a text of its own asks for none.

    Raises:
        DataError: a score is not finite, or a text has nothing right.
    """
    assert scores.shape == relevant.shape, (scores.shape, relevant.shape)
    asking = relevant.any(axis=0)
    return RetrievalMetrics(
        direction_metrics(scores, relevant, bootstrap, seed),
        direction_metrics(scores.T[asking], relevant.T[asking], bootstrap, seed),
    )


def direction_metrics(
    scores: NDArray[np.floating], relevant: Bool, bootstrap: int = 1000, seed: int = 0
) -> DirectionMetrics:
    """Metrics of queries (rows) over candidates (columns)."""
    ranks = best_ranks(scores, relevant)
    hits = {f"r@{k}": (ranks <= k) * 100.0 for k in RECALL_AT}
    positive, candidates = relevant.sum(axis=1), relevant.shape[1]
    chance = {f"r@{k}": 100.0 * chance_recall(positive, candidates, k) for k in RECALL_AT}
    recall = estimates(hits, bootstrap, seed)
    return DirectionMetrics(recall, chance, float(np.median(ranks)), len(ranks), candidates)


def blind_metrics(
    scores: NDArray[np.floating],
    relevant: Bool,
    tolerance: float,
    pool: Bool | None = None,
    bootstrap: int = 1000,
    seed: int = 0,
) -> DirectionMetrics:
    """Metrics of a ranking in which most scores should be equal: of equal ones every order counts as equally likely.

    Counted against us, as elsewhere, ties would put a model that sees nothing below chance; so it is at chance exactly.

    Args:
        scores: [queries, candidates].
        relevant: bool [queries, candidates].
        tolerance: scores that differ by no more are equal.
        pool: bool [queries, candidates], the candidates that a query ranks; all when not given.
        bootstrap, seed: as in :func:`estimates`.
    """
    ranked = np.ones_like(relevant) if pool is None else pool
    positive, negative = relevant & ranked, ~relevant & ranked
    best = np.where(positive, scores, -np.inf).max(axis=1, keepdims=True)
    before = (negative & (scores > best + tolerance)).sum(axis=1)
    with_it = (negative & (np.abs(scores - best) <= tolerance)).sum(axis=1)
    equal = (positive & (scores >= best - tolerance)).sum(axis=1)
    hits = {f"r@{k}": 100.0 * _hit_chance(equal, equal + with_it, k - before) for k in RECALL_AT}
    counts, among = ranked.sum(axis=1), positive.sum(axis=1)
    chance = {f"r@{k}": float(100.0 * _hit_chance(among, counts, np.full(len(counts), k)).mean()) for k in RECALL_AT}
    median = float(np.median(1 + before + with_it / (equal + 1.0)))  # the expected rank of the first of the equal
    return DirectionMetrics(estimates(hits, bootstrap, seed), chance, median, len(counts), int(counts.max()))


def estimates(of_queries: Mapping[str, NDArray[np.floating]], bootstrap: int, seed: int) -> dict[str, Estimate]:
    """Mean of each metric over queries, with its interval; every metric is resampled alike.

    Args:
        of_queries: name -> value of each query [n].
        bootstrap: resamplings; fewer than two give intervals of no width.
        seed: of the resampling.
    """
    from scipy.stats import bootstrap as resample  # a second to import

    values = np.stack(list(of_queries.values()))
    means = values.mean(axis=1)
    low = high = means
    if bootstrap > 1 and values.shape[1] > 1:
        drawn = np.random.default_rng(seed)
        found = resample(
            (values,), np.mean, n_resamples=bootstrap, batch=_BATCH, axis=1, method="percentile", rng=drawn
        )
        low, high = found.confidence_interval
    return {name: Estimate(*map(float, bounds)) for name, *bounds in zip(of_queries, means, low, high, strict=True)}


def calibration_error(log_odds: NDArray[np.floating], relevant: Bool, bins: int = 10) -> float:
    """Expected calibration error of probabilities, from 0 to 1: how far they are from how often they are right.

    In bins of equal width, weighted by how many pairs are in each (Guo et al. 2017).

    Args:
        log_odds: scores of pairs, any shape.
        relevant: of the same shape.
        bins: of the probabilities.
    """
    from scipy.special import expit

    probability = expit(log_odds.ravel().astype(np.float64))
    place = np.minimum((probability * bins).astype(int), bins - 1)
    pairs, said, right = (
        np.bincount(place, weights, bins) for weights in (None, probability, relevant.ravel().astype(np.float64))
    )
    return float(np.abs(said - right).sum() / max(1, int(pairs.sum())))


def best_ranks(scores: NDArray[np.floating], relevant: Bool) -> Int64:
    """Rank [n] of the best right candidate of each query: 1 + wrong candidates that score at least as much."""
    if not np.isfinite(scores).all():
        raise DataError("a score is NaN or infinite: the model is damaged or its training diverged.")
    if not relevant.any(axis=1).all():
        raise DataError(f"query {int(np.argmin(relevant.any(axis=1)))} has no right candidate: it cannot be judged.")
    best = np.where(relevant, scores, -np.inf).max(axis=1, keepdims=True)
    ranks: Int64 = 1 + ((scores >= best) & ~relevant).sum(axis=1)
    return ranks


def group_means(values: NDArray[np.floating], groups: NDArray[np.integer]) -> NDArray[np.float64]:
    """Means of values [n] over equal groups [n], in the order of these; resampled, texts of one image stay together."""
    _, place = np.unique(groups, return_inverse=True)
    means: NDArray[np.float64] = np.bincount(place, values) / np.bincount(place)
    return means


def chance_recall(positive: Int64, candidates: int, k: int) -> float:
    """Expected recall@k of a random ranking: 1 - C(candidates - right, k)/C(candidates, k), averaged over queries."""
    counts = np.full(len(positive), candidates)
    return float(_hit_chance(positive, counts, np.full(len(positive), k)).mean())


def _hit_chance(positive: Int64, candidates: Int64, k: Int64) -> NDArray[np.float64]:
    """Chance [n] that one of ``right`` of so many candidates is among the first k of a random order."""
    missed = np.ones(len(positive))
    for place in range(int(k.max(initial=0))):
        still = (place < k) & (place < candidates)
        irrelevant_next = np.clip(candidates - positive - place, 0, None) / np.maximum(candidates - place, 1)
        missed = np.where(still, missed * irrelevant_next, missed)
    return 1.0 - missed
