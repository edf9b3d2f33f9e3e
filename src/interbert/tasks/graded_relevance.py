"""Metrics of a ranking with many right answers per query, some more right than others.

For a query whose candidates have grades g, in the order of their scores::

    R@k    = 100 if one of the first k is right, else 0
    MRR    = 1 / rank of the first right one
    nDCG@k = DCG@k / the largest possible DCG@k,   DCG@k = sum_{i<=k} (2^{g_i} - 1) / log2(i + 1)

averaged over queries (DCG: Järvelin and Kekäläinen 2002; gains of 2^g - 1: Burges et al. 2005). Ties count against us:
of candidates with one score the less right comes first. Chance is the expected value of a random order.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from interbert.errors import DataError
from interbert.tasks.metrics import RECALL_AT, Bool, Estimate, Int64, estimates

NDCG_AT = (5, 10)
_BLOCK = 256

Floats = NDArray[np.floating]


@dataclass(frozen=True)
class GradedMetrics:
    """What one ranking is worth."""

    values: dict[str, Estimate]
    """``r@1``, ``r@5``, ``r@10`` in percent; ``mrr``, ``ndcg@5``, ``ndcg@10`` from 0 to 1."""
    chance: dict[str, float]
    """The same of a random ranking."""
    median_rank: float
    """Of the first right candidate; 1 is best."""
    n: int
    """Queries."""
    candidates: float
    """That a query ranks; their mean, where pools give each its own."""
    of_queries: dict[str, Floats] = field(repr=False, compare=False)
    """Every metric of every query [n], for paired comparisons."""

    def to_dict(self) -> dict[str, Any]:
        """Plain numbers, for JSON."""
        fields = asdict(self)
        del fields["of_queries"]
        return fields


def graded_metrics(
    scores: Floats, grades: Floats, relevant: Bool, pool: Bool | None = None, bootstrap: int = 1000, seed: int = 0
) -> GradedMetrics:
    """Metrics of scores [queries, candidates].

    Args:
        scores: higher is better.
        grades: [queries, candidates], 0 for what is wrong.
        right: bool [queries, candidates], what R@k and MRR look for; each query has something right.
        pool: bool [queries, candidates], the candidates that a query ranks; all when not given.
        bootstrap, seed: as in :func:`~interbert.tasks.metrics.estimates`.

    Raises:
        DataError: a score is not finite.
    """
    assert scores.shape == grades.shape == relevant.shape, (scores.shape, grades.shape, relevant.shape)
    assert relevant.any(axis=1).all(), "a query without a right candidate cannot be judged"
    if not np.isfinite(scores).all():
        raise DataError("a score is NaN or infinite: the model is damaged or its training diverged.")
    gains = np.exp2(grades.astype(np.float64)) - 1
    ranks, ordered = _ranked(scores, gains, relevant, pool)
    best = _largest(gains, max(NDCG_AT))
    of_queries: dict[str, Floats] = {f"r@{k}": (ranks <= k) * 100.0 for k in RECALL_AT}
    of_queries["mrr"] = 1.0 / ranks
    for k in NDCG_AT:
        of_queries[f"ndcg@{k}"] = _dcg(ordered, k) / _dcg(best, k)
    counts = np.full(len(scores), scores.shape[1]) if pool is None else pool.sum(axis=1)
    chance = _chance(gains, best, relevant.sum(axis=1), counts)
    return GradedMetrics(
        estimates(of_queries, bootstrap, seed),
        chance,
        float(np.median(ranks)),
        len(scores),
        float(counts.mean()),
        of_queries,
    )


def _ranked(scores: Floats, gains: Floats, relevant: Bool, pool: Bool | None) -> tuple[Int64, Floats]:
    """Rank [n] of the first right candidate, and the gains [n,k] of the first few."""
    ranks = np.empty(len(scores), dtype=np.int64)
    first = np.empty((len(scores), min(max(NDCG_AT), scores.shape[1])))
    for start in range(0, len(scores), _BLOCK):
        rows = slice(start, start + _BLOCK)
        outside = np.zeros_like(relevant[rows]) if pool is None else ~pool[rows]
        order = np.lexsort((gains[rows], -scores[rows], outside), axis=-1)
        ranks[rows] = 1 + np.take_along_axis(relevant[rows], order, axis=1).argmax(axis=1)
        first[rows] = np.take_along_axis(gains[rows], order[:, : first.shape[1]], axis=1)
    return ranks, first


def _largest(gains: Floats, k: int) -> Floats:
    """The largest k gains of each query, largest first."""
    k = min(k, gains.shape[1])
    largest: Floats = -np.sort(np.partition(-gains, k - 1, axis=1)[:, :k], axis=1)
    return largest


def _discounts(k: int) -> Floats:
    discounts: Floats = 1.0 / np.log2(np.arange(k) + 2.0)
    return discounts


def _dcg(ordered: Floats, k: int) -> Floats:
    first = ordered[:, :k]
    dcg: Floats = first @ _discounts(first.shape[1])
    return dcg


def _chance(gains: Floats, best: Floats, relevant: Int64, counts: Int64) -> dict[str, float]:
    """Expected metrics of random orders, of queries with ``right`` right ones among ``counts`` candidates."""
    none_yet = np.ones(len(relevant))
    hits, reciprocal = {}, np.zeros(len(relevant))
    for place in range(int(counts.max())):
        left = np.maximum(counts - place, 1)
        now = np.where(place < counts, none_yet * np.minimum(relevant / left, 1.0), none_yet)
        reciprocal += now / (place + 1)
        none_yet = none_yet - now
        if place + 1 in RECALL_AT:
            hits[place + 1] = 100.0 * (1.0 - none_yet.mean())
        if not none_yet.any():
            break
    chance = {f"r@{k}": float(hits.get(k, 100.0)) for k in RECALL_AT}
    chance["mrr"] = float(reciprocal.mean())
    mean_gain = gains.sum(axis=1) / counts
    for k in NDCG_AT:
        discounts = np.array([_discounts(min(k, int(count))).sum() for count in counts])
        chance[f"ndcg@{k}"] = float((mean_gain * discounts / _dcg(best, k)).mean())
    return chance
