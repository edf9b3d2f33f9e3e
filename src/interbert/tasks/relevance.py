"""Queries, the products of a store, and how right each is: from judgements, or from a store's own texts."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from interbert.data.qrels import Qrels
from interbert.data.subset import sample_groups
from interbert.errors import DataError
from interbert.regions.schema import CaptionRow
from interbert.tasks.metrics import Bool, Int64
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
