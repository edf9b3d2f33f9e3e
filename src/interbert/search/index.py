"""A LanceDB index of a catalogue: one row an image, with its vector, its regions for reranking and its columns.

A table's rows have everything: vectors in float16, made equally long by one more number so that the nearest in L2 is
the largest inner product (Bachrach et al. 2014); regions in a compact form; a thumbnail; texts; the catalogue's own
columns. Every change is one atomic commit. Reading and writing may go on at the same time.

Shapes: n images, R image tokens, H hidden size, D vector size.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from interbert.errors import VersionGone
from interbert.search.ann_parameters import EXACT, Probing, needs_probing, probing
from interbert.search.full_text import Words, full_text_query
from interbert.search.hits import Hit
from interbert.search.manifest import Manifest, connect, read_manifests
from interbert.search.table import FULL_TEXT_INDEX, IndexTable, among, table_state
from interbert.search.terms import query_terms
from interbert.search.vectors import to_query

Float32 = NDArray[np.float32]

_FULL_TEXT_WORDS = 64
_MOST_TIES = 2_000
"""Titles of one score that are looked through for the first ids: all of them in catalogues where that takes no time."""
_LIGHT = ("picture_id", "product_id", "texts")


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
        self._counts: dict[tuple[str, tuple[str, int]], int] = {}
        self._partitions: dict[tuple[str, int], int] = {}

    @property
    def mirrored(self) -> bool:
        """Whether vectors are means of an image and its mirror image."""
        return self.manifest.mirrored

    def number(self) -> int:
        """Version of the table that is searched; every commit counts one more."""
        with self.reading():
            return int(self.table.version)

    def at(self, table: str, number: int) -> Self:
        """The index as it was at a version of a build's table, for good: later changes are not seen.

        Raises:
            VersionGone: the build or the version was cleaned up, or never was.
        """
        manifest = self.manifest
        if table != manifest.table:
            builds = {one.table: one for one in read_manifests(self._database, self.path) if one.complete}
            if table not in builds:
                raise VersionGone.of(f"{table}@{number}")
            manifest = builds[table]
        try:
            opened = connect(self.path).open_table(table)  # a connection knows tables that are gone for a while
            opened.checkout(number)
            opened.count_rows()
        except (ValueError, OSError, RuntimeError) as error:
            raise VersionGone.of(f"{table}@{number}") from error
        same = copy.copy(self)
        same.manifest, same.table, same._fixed, same._known_columns = manifest, opened, True, None
        same._known_columns = same.metadata_columns
        return same

    def vector_search(
        self,
        vector: Float32,
        k: int,
        where: str | None = None,
        *,
        tokens: bool = False,
        every_image: bool = False,
        exact: bool = False,
        probes: Probing | None = None,
    ) -> list[Hit]:
        """The ``k`` products with the largest inner products, best first, each by its best image.

        Args:
            vector: [D], of a text or an image.
            k: how many.
            where: a filter (:mod:`interbert.search.filters`).
            tokens: bring the regions along.
            every_image: every image is a result, not every product.
            exact: compare with every vector.
            probes: how thoroughly to look; by size and filter when not given.

        Raises:
            FilterError: the filter is wrong.
            VectorIndexError: the index is damaged.
        """
        self.refresh()
        condition = self.condition(where)
        query = to_query(np.asarray(vector), self.manifest.stored_size, self.manifest.largest_norm)
        matching = self.count(condition)
        chosen = probes or (EXACT if exact else self.thoroughness(matching))
        wanted = min(math.ceil(chosen.more * k), matching)
        while True:
            found = self.nearest_rows(query, wanted, condition, chosen, self.fields(tokens), numbers=False)
            scores = self.batch_vectors(found["vector"].combine_chunks()) @ np.asarray(vector, dtype=np.float32)
            hits = self._hits(found, scores.tolist(), k, every_image)
            if len(hits) >= k or wanted >= matching == len(found):
                return hits
            if len(found) < wanted:  # the partitions that it looks into hold no more images
                if chosen.partitions is None:
                    return hits
                chosen = EXACT
            wanted = min(2 * wanted, matching)

    def full_text_search(
        self, text: str | Words, k: int, where: str | None = None, *, tokens: bool = False
    ) -> list[Hit]:
        """The ``k`` products whose texts share most terms with ``text``, best first, each by its best image.

        Scores are BM25 over terms (:mod:`interbert.search.terms`); of equal ones the first id is first.

        Raises:
            FilterError, VectorIndexError: as :meth:`vector_search`.
        """
        self.refresh()
        found = self.title_scores(text, k, self.condition(where))
        hits: list[Hit] = []
        for rows in self.by_ids(list(found), self.fields(tokens)):
            hits += self._hits(rows, [found[name] for name in rows["picture_id"].to_pylist()], k, every_image=True)
        return sorted(hits, key=lambda hit: (-hit.score, hit.id))

    def title_scores(self, text: str | Words, k: int, condition: str | None) -> dict[str, float]:
        """BM25 of the best image of each of the ``k`` best products, by image id, best first.

        Args:
            text, k: as in :meth:`full_text_search`.
            condition: the database's, of a filter.
        """
        with self.reading():
            if not any(one.name == FULL_TEXT_INDEX for one in self.table.list_indices()):
                return {}
            wanted_words = full_text_query(text, query_terms if self.counts_terms() else _first_words)
            if wanted_words is None or k < 1:
                return {}
            query = self.table.search(wanted_words, query_type="fts")
            if condition is not None:
                query = query.where(condition, prefilter=True)
            query = query.select(["picture_id", "product_id", "_score"])
            wanted = 4 * k
            while True:
                found = query.limit(wanted).to_arrow()
                best = _best_of_products(found.to_pylist(), k)
                lowest = min(found["_score"].to_pylist(), default=0.0)
                several = len(best) == k and (lowest < min(best.values()) or wanted >= _MOST_TIES)
                if several or len(found) < wanted:
                    return best
                wanted = min(4 * wanted, max(_MOST_TIES, wanted)) if len(best) == k else 4 * wanted

    def hits(self, ids: Sequence[str]) -> list[Hit]:
        """Images by id, with score 0, in the order of ``ids``.

        Raises:
            VectorIndexError: one of them is not in the index.
        """
        known: dict[str, Hit] = {}
        for found in self.by_ids(ids, self.fields(False)):
            known |= {hit.id: hit for hit in self._hits(found, [0.0] * len(found), len(found), every_image=True)}
        return [known[name] for name in self.require(ids, known)]

    def images_of(self, products: Sequence[str], where: str | None = None) -> dict[str, str]:
        """Images of products, some hundreds at most, that a filter lets through: the product's id by the image's.

        Raises:
            FilterError, VectorIndexError: as :meth:`vector_search`.
        """
        if not products:
            return {}
        self.refresh()
        condition, named = self.condition(where), among("product_id", products)
        query = self.table.search().where(named if condition is None else f"{named} AND ({condition})")
        with self.reading():
            rows = query.select(["picture_id", "product_id"]).limit(None).to_arrow()
        return dict(zip(rows["picture_id"].to_pylist(), rows["product_id"].to_pylist(), strict=True))

    def fields(self, tokens: bool) -> list[str]:
        """Columns of the database that a hit is made of, with the regions or without."""
        fields = [*_LIGHT, "vector", *(column.field for column in self.manifest.columns)]
        return [*fields, "regions"] if tokens else fields

    def count(self, condition: str | None) -> int:
        """How many images a condition of the database lets through; remembered for a version of the table."""
        table = self.table  # another thread may change over to a newer build
        if condition is None:
            return int(table.count_rows())
        key = (condition, table_state(table))
        known = self._counts.get(key)
        if known is None:
            with self.reading():
                known = int(table.count_rows(condition))
            if len(self._counts) > 256:
                self._counts.clear()
            self._counts[key] = known
        return known

    def indexed_rows(self) -> int:
        """Images that the approximate index knows; 0 without one."""
        statistics = self.table.index_stats("vector_idx")
        return 0 if statistics is None else int(statistics.num_indexed_rows)

    def partitions(self) -> int:
        """Partitions of the approximate index, which splits and joins them as it grows; remembered for a version."""
        table = self.table  # another thread may change over to a newer build
        state = table_state(table)
        known = self._partitions.get(state)
        if known is None:
            with self.reading():
                parts = table.to_lance().stats.index_stats("vector_idx")["indices"]
            known = max(int(one["num_partitions"]) for one in parts)
            self._partitions.clear()
            self._partitions[state] = known
        return known

    def thoroughness(self, matching: int) -> Probing:
        """How thoroughly to look among so many images that a filter lets through."""
        return probing(self.partitions(), matching) if needs_probing(matching) and self.indexed_rows() else EXACT

    def nearest_rows(
        self, query: Float32, k: int, condition: str | None, chosen: Probing, fields: Sequence[str], numbers: bool
    ) -> Any:
        """Arrow table of the ``k`` nearest.

        Args:
            query: [S], of :func:`~interbert.search.vectors.to_query`.
            k: how many, of those that there are.
            condition: the database's, of a filter.
            chosen: how thoroughly to look.
            fields: columns of the database.
            numbers: bring the rows' numbers along, as ``_rowid``.
        """
        if not k:
            return self.table.schema.empty_table()
        search = self.table.search(query, vector_column_name="vector").distance_type("l2")
        exact = chosen.partitions is None
        search = search.bypass_vector_index() if exact else search.nprobes(chosen.partitions)
        if condition is not None:
            search = search.where(condition, prefilter=True)
        search = search.with_row_id(True) if numbers else search
        with self.reading():
            return search.select([*fields, "_distance"]).limit(k).to_arrow()

    def _hits(self, found: Any, scores: Sequence[float], k: int, every_image: bool = False) -> list[Hit]:
        """The best ``k`` rows, one of each product or every image, best first."""
        if not len(found):
            return []
        names = found["picture_id"].to_pylist()
        order = sorted(range(len(names)), key=lambda place: (-scores[place], names[place]))
        if not every_image:
            products = found["product_id"].to_pylist()
            first = {products[place]: place for place in reversed(order)}
            order = [place for place in order if first[products[place]] == place]
        chosen = found.take(order[:k])
        vectors = self.batch_vectors(chosen["vector"].combine_chunks())
        return self.hits_of(chosen.drop_columns(["vector"]), vectors, [float(scores[place]) for place in order[:k]])

    def hits_of(self, found: Any, vectors: Float32, scores: Sequence[float]) -> list[Hit]:
        """Rows of the table, of the columns that searches read, as hits.

        Args:
            found: Arrow table [n] without vectors, with the regions where they are wanted.
            vectors: [n,D].
            scores: [n].
        """
        return [
            Hit(
                rank=0,
                id=row["picture_id"],
                texts=tuple(row["texts"]),
                product_id=row["product_id"],
                score=score,
                metadata={column.name: row[column.field] for column in self.manifest.columns},
                vector=vector,
                tokens=self.tokens_of(row["regions"], row["picture_id"]) if "regions" in row else None,
            )
            for score, row, vector in zip(scores, found.to_pylist(), vectors, strict=True)
        ]


def _best_of_products(rows: Sequence[Mapping[str, Any]], k: int) -> dict[str, float]:
    """Score of the best image of each of the ``k`` best products, by image id, best first."""
    best: dict[str, Mapping[str, Any]] = {}
    for row in sorted(rows, key=lambda row: (-row["_score"], row["picture_id"])):
        best.setdefault(row["product_id"], row)
        if len(best) == k:
            break
    return {row["picture_id"]: row["_score"] for row in best.values()}


def _first_words(text: str) -> str:
    """A query of an index whose full text counts words."""
    return " ".join(text.split()[:_FULL_TEXT_WORDS])[: 40 * _FULL_TEXT_WORDS]
