"""A LanceDB index of a catalogue: one row a picture, with its vector, its regions for reranking and its columns.

A table's rows have everything: vectors in float16, made equally long by one more number so that the nearest in L2 is
the largest inner product (Bachrach et al. 2014); regions in a compact form; a thumbnail; texts; the catalogue's own
columns. Every change is one atomic commit. Reading and writing may go on at the same time.

Shapes: n pictures, R image tokens, H hidden size, D vector size.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from interbert.search.manifest import Manifest
from interbert.search.table import IndexTable
from interbert.search.tuning import EXACT, Probing, needs_probing, probing
from interbert.search.vectors import to_query

Float32 = NDArray[np.float32]

_FULL_TEXT_WORDS = 64
_LIGHT = ("picture_id", "product_id", "texts")


@dataclass(frozen=True)
class Hit:
    """One picture that a search found."""

    id: str
    """The picture's id."""
    product_id: str
    score: float
    """Of :meth:`ProductIndex.recall` the exact inner product; of :meth:`ProductIndex.titles` BM25."""
    texts: tuple[str, ...]
    metadata: dict[str, Any]
    """The catalogue's columns, by the names that users know."""
    vector: Float32 = field(repr=False)
    """[D]"""
    tokens: Float32 | None = field(default=None, repr=False)
    """[R,H], where they were asked for."""


class ProductIndex(IndexTable):
    """An index opened for searching.

    A rebuilt index takes its place by itself: every search uses the newest complete build.

    Args:
        path, build: as in :class:`~interbert.search.table.IndexTable`.

    Raises:
        VectorIndexError: it is missing, unfinished or damaged.
    """

    def __init__(self, path: str | Path, build: Manifest | None = None) -> None:
        super().__init__(path, build)
        self._counts: dict[tuple[str, int], int] = {}

    def recall(
        self,
        vector: Float32,
        k: int,
        where: str | None = None,
        *,
        tokens: bool = False,
        every_picture: bool = False,
        exact: bool = False,
        probes: Probing | None = None,
    ) -> list[Hit]:
        """The ``k`` products with the largest inner products, best first, each by its best picture.

        Args:
            vector: [D], of a text or a picture.
            k: how many.
            where: a filter (:mod:`interbert.search.filters`).
            tokens: bring the regions along.
            every_picture: every picture is a result, not every product.
            exact: compare with every vector.
            probes: how thoroughly to look; by size and filter when not given.

        Raises:
            FilterError: the filter is wrong.
            VectorIndexError: the index is damaged.
        """
        self.refresh()
        condition = self.condition(where)
        query = to_query(np.asarray(vector), self.manifest.stored_size, self.manifest.largest_norm)
        matching = len(self) if condition is None else self._count(condition)
        chosen = probes or (EXACT if exact or not needs_probing(matching) else self._probing(matching))
        wanted = min(math.ceil(chosen.more * k), matching)
        while True:
            found = self._nearest(query, wanted, condition, chosen, tokens)
            scores = self.batch_vectors(found["vector"].combine_chunks()) @ np.asarray(vector, dtype=np.float32)
            hits = self._hits(found, scores.tolist(), k, every_picture)
            if len(hits) >= k or len(found) < wanted or wanted >= matching:
                return hits
            wanted = min(2 * wanted, matching)

    def titles(self, text: str, k: int, where: str | None = None, *, tokens: bool = False) -> list[Hit]:
        """The ``k`` products whose texts share most words with ``text`` (BM25; Chinese is segmented), best first.

        Raises:
            FilterError, VectorIndexError: as :meth:`recall`.
        """
        from lancedb.query import MatchQuery

        self.refresh()
        words = " ".join(text.split()[:_FULL_TEXT_WORDS])[: 40 * _FULL_TEXT_WORDS]
        if not words or not any(one.name == "fulltext_idx" for one in self.table.list_indices()):
            return []
        query = self.table.search(MatchQuery(words, "fulltext"), query_type="fts")
        condition = self.condition(where)
        if condition is not None:
            query = query.where(condition, prefilter=True)
        with self.reading():
            found = query.select([*self._columns(tokens), "_score"]).limit(2 * k).to_arrow()
        return self._hits(found, found["_score"].to_pylist(), k)

    def hits(self, ids: Sequence[str]) -> list[Hit]:
        """Pictures by id, with score 0, in the order of ``ids``.

        Raises:
            VectorIndexError: one of them is not in the index.
        """
        known: dict[str, Hit] = {}
        for found in self.by_ids(ids, self._columns(False)):
            known |= {hit.id: hit for hit in self._hits(found, [0.0] * len(found), len(found), every_picture=True)}
        return [known[name] for name in self.require(ids, known)]

    def metadata(self, row: Mapping[str, Any]) -> dict[str, Any]:
        """A database row's columns by the names that users know."""
        return {column.name: row[column.field] for column in self.manifest.columns}

    def _columns(self, tokens: bool) -> list[str]:
        fields = [*_LIGHT, "vector", *(column.field for column in self.manifest.columns)]
        return [*fields, "regions"] if tokens else fields

    def _count(self, condition: str) -> int:
        """How many pictures a condition lets through; remembered for a version of the table."""
        key = (condition, int(self.table.version))
        if key not in self._counts:
            if len(self._counts) > 256:
                self._counts.clear()
            with self.reading():
                self._counts[key] = int(self.table.count_rows(condition))
        return self._counts[key]

    def _probing(self, matching: int) -> Probing:
        return probing(self.partitions(), matching) if self.indexed_rows() else EXACT

    def _nearest(self, query: Float32, k: int, condition: str | None, chosen: Probing, tokens: bool) -> Any:
        """Arrow table of the ``k`` nearest."""
        if not k:
            return self.table.schema.empty_table()
        search = self.table.search(query, vector_column_name="vector").distance_type("l2")
        exact = chosen.partitions is None
        search = search.bypass_vector_index() if exact else search.nprobes(chosen.partitions)
        if condition is not None:
            search = search.where(condition, prefilter=True)
        with self.reading():
            return search.select([*self._columns(tokens), "_distance"]).limit(k).to_arrow()

    def _hits(self, found: Any, scores: Sequence[float], k: int, every_picture: bool = False) -> list[Hit]:
        """The best ``k`` rows, one of each product or every picture, best first."""
        if not len(found):
            return []
        names = found["picture_id"].to_pylist()
        order = sorted(range(len(names)), key=lambda place: (-scores[place], names[place]))
        if not every_picture:
            products = found["product_id"].to_pylist()
            first = {products[place]: place for place in reversed(order)}
            order = [place for place in order if first[products[place]] == place]
        chosen = found.take(order[:k])
        vectors = self.batch_vectors(chosen["vector"].combine_chunks())
        return [
            Hit(
                row["picture_id"],
                row["product_id"],
                float(scores[place]),
                tuple(row["texts"]),
                self.metadata(row),
                vector,
                self.tokens_of(row["regions"], row["picture_id"]) if "regions" in row else None,
            )
            for place, row, vector in zip(order, chosen.drop_columns(["vector"]).to_pylist(), vectors, strict=False)
        ]
