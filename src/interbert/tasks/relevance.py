"""Queries, the products of a store, and how right each is: from judgements, or from a store's own texts."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from interbert.data.qrels import Qrels
from interbert.data.subset import sample_groups
from interbert.errors import DataError
from interbert.regions.schema import CaptionRow
from interbert.tasks.metrics import RECALL_AT, Bool, Estimate, Int64, estimates
from interbert.tasks.retrieval import RetrievalSet

Float32 = NDArray[np.float32]


@dataclass(frozen=True)
class RelevanceSet:
    """What a ranking is judged on. A product is as good as its best image."""

    texts: tuple[str, ...]
    """Queries that have a right product."""
    image_rows: tuple[int, ...]
    """Store row of each image, the images of a product side by side."""
    product_of: Int64
    """[images]"""
    grades: Float32
    """[texts, products], 0 for what is wrong or not judged."""
    relevant: Bool
    """[texts, products]"""
    pool: Bool | None = None
    """[texts, products], what each query ranks; None ranks everything."""
    unused_queries: int = 0
    """Queries of the judgements without a right product in the store."""
    unused_judgements: int = 0
    """Judgements of products that the store does not have."""

    @classmethod
    def from_set(cls, data: RetrievalSet) -> RelevanceSet:
        """A store's own texts: each image is a product, right or wrong."""
        products = np.arange(len(data.image_rows))
        return cls(data.texts, data.image_rows, products, data.relevant.astype(np.float32), data.relevant)

    @classmethod
    def from_captions(
        cls,
        captions: Iterable[CaptionRow],
        qrels: Qrels,
        min_grade: float | None = None,
        judged_only: bool = False,
        limit: int | None = None,
        seed: int = 0,
    ) -> RelevanceSet:
        """Judgements of a store's products.

        Args:
            captions: all rows of the store, read once.
            qrels: their ``product_id`` is the store's, or the image id of rows without a product.
            min_grade: products graded at least this are right; above 0 when not given.
            judged_only: each query ranks the products alone that are judged for it.
            limit: only a sample of so many images, whole products.
            seed: of the sample.

        Raises:
            DataError: no query has a right product in the store.
        """
        named = [(one.product_id or one.image_id, one.row) for one in captions if one.view == 0]
        if limit is not None:
            named = _sample(named, limit, seed, qrels, min_grade)
        names = list(dict.fromkeys(name for name, _ in named))
        column = {name: place for place, name in enumerate(names)}
        product_of = np.array([column[name] for name, _ in named], dtype=np.int64)
        order = np.argsort(product_of, kind="stable")

        column_of = np.array([column.get(name, -1) for name in qrels.products])[qrels.product_of]
        there = column_of >= 0
        relevant_queries = np.unique(qrels.query_of[there & qrels.relevant(min_grade)])
        if not len(relevant_queries):
            raise DataError(
                f"{qrels.where}: calls none of the store's {len(names)} products right. Its products are named as "
                f"{qrels.products[0]!r}, the store's as {names[0] if names else ''!r}."
            )
        line = np.full(len(qrels.queries), -1)
        line[relevant_queries] = np.arange(len(relevant_queries))
        used = there & (line[qrels.query_of] >= 0)
        where = (line[qrels.query_of[used]], column_of[used])
        shape = (len(relevant_queries), len(names))
        grades = np.zeros(shape, dtype=np.float32)
        grades[where] = qrels.grades[used]
        relevant, pool = np.zeros(shape, dtype=np.bool_), np.zeros(shape, dtype=np.bool_)
        relevant[where] = qrels.relevant(min_grade)[used]
        pool[where] = True
        return cls(
            texts=tuple(qrels.queries[query] for query in relevant_queries),
            image_rows=tuple(named[place][1] for place in order),
            product_of=product_of[order],
            grades=grades,
            relevant=relevant,
            pool=pool if judged_only else None,
            unused_queries=len(qrels.queries) - len(relevant_queries),
            unused_judgements=int((~there).sum()),
        )

    @property
    def products(self) -> int:
        """How many there are."""
        return int(self.grades.shape[1])

    def sample(self, count: int | None, seed: int) -> RelevanceSet:
        """So many of the queries, drawn by ``seed``, with every product; all when there are no more."""
        if count is None or count >= len(self.texts):
            return self
        return self.of_texts(np.sort(np.random.default_rng(seed).permutation(len(self.texts))[:count]))

    def of_texts(self, kept: Int64) -> RelevanceSet:
        """Some of the queries, by their places, with every product."""
        return replace(
            self,
            texts=tuple(self.texts[place] for place in kept),
            grades=self.grades[kept],
            relevant=self.relevant[kept],
            pool=None if self.pool is None else self.pool[kept],
        )

    def of_products(self, scores: NDArray[np.floating]) -> NDArray[np.floating]:
        """Scores [texts, images] as scores [texts, products]: a product's is its best image's."""
        if len(self.product_of) == self.products:
            return scores
        starts = np.flatnonzero(np.diff(self.product_of, prepend=-1))
        best: NDArray[np.floating] = np.maximum.reduceat(scores, starts, axis=1)
        return best

    def pairs(self) -> tuple[Int64, Int64]:
        """Text and image of every pair that the pools hold."""
        assert self.pool is not None
        texts, images = np.nonzero(self.pool[:, self.product_of])
        return texts, images


def _sample(
    named: list[tuple[str, int]], limit: int, seed: int, qrels: Qrels, min_grade: float | None
) -> list[tuple[str, int]]:
    """At most so many images (name of the product, store row), by whole products, one that is right among them."""
    answers = {qrels.products[place] for place in np.unique(qrels.product_of[qrels.relevant(min_grade)])}
    names = [name for name, _ in named]
    number = {name: place for place, name in enumerate(dict.fromkeys(names))}
    groups = np.array([number[name] for name in names], dtype=np.int64)
    relevant = np.array([name in answers for name in names], dtype=np.bool_)
    return [named[place] for place in sample_groups(groups, limit, seed, first=relevant)]


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
