"""A LanceDB index of a catalogue: one row a picture, with its vector, its regions for reranking and its columns.

A table's rows have everything: vectors in float16, made equally long by one more number so that the nearest in L2 is
the largest inner product (Bachrach et al. 2014); regions in a compact form; a thumbnail; texts; the catalogue's own
columns. Every change is one atomic commit. Reading and writing may go on at the same time.

Shapes: n pictures, R image tokens, H hidden size, D vector size.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from interbert.errors import InterBertError, MissingExtraError, VectorIndexError
from interbert.search.coding import decode_tokens
from interbert.search.columns import Column
from interbert.search.filters import compile_filter
from interbert.search.manifest import Manifest, read_manifests
from interbert.search.tuning import Probing, probing

Float32 = NDArray[np.float32]

_REFRESH_SECONDS = 1.0
_FULL_TEXT_WORDS = 64
_IDS_AT_ONCE = 1000
LIGHT = ("picture_id", "product_id", "texts")


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


def connect(path: str | Path) -> Any:
    """A LanceDB database whose readers always see the last commit.

    Raises:
        MissingExtraError: LanceDB is not installed.
    """
    os.environ.setdefault("LANCEDB_LOG", "error")  # its warnings are about its own doings
    try:
        import lancedb
    except ImportError as error:
        raise MissingExtraError.of("lancedb", "search") from error
    return lancedb.connect(str(path), read_consistency_interval=timedelta(0))


def is_index(path: str | Path) -> bool:
    """Whether a local folder, or a URI, holds an index that was begun."""
    if "://" not in str(path):
        return Path(path, "manifest.lance").is_dir()
    try:
        return bool(read_manifests(connect(path), str(path)))
    except VectorIndexError:
        return False


class ProductIndex:
    """An index opened for searching.

    A rebuilt index takes its place by itself: every search uses the newest complete build.

    Args:
        path: folder or URI.
        build: a build that is not searched yet, for who writes it; the newest complete one when not given.

    Raises:
        VectorIndexError: it is missing, unfinished or damaged.
    """

    def __init__(self, path: str | Path, build: Manifest | None = None) -> None:
        self.path = str(path)
        if "://" not in self.path and not is_index(self.path):
            raise VectorIndexError(
                f"{self.path}: there is no index here. Make one with: interbert index build MODEL SOURCE {self.path}"
            )
        self._database = connect(self.path)
        self._fixed = build is not None
        self.manifest = build or self._current()
        self.table = self._open()
        self._checked = time.monotonic()
        self._counts: dict[tuple[str, int], int] = {}

    @classmethod
    def open(cls, path: str | Path) -> ProductIndex:
        """Open an index.

        Raises:
            VectorIndexError: it is missing, unfinished or damaged.
        """
        return cls(path)

    def __len__(self) -> int:
        """Number of pictures."""
        return int(self.table.count_rows())

    @property
    def metadata_columns(self) -> tuple[Column, ...]:
        """The catalogue's columns, which filters can use."""
        return self.manifest.columns

    @property
    def filter_names(self) -> dict[str, Column]:
        """Every name that a filter can use."""
        own = {name: Column(name, name, "text") for name in ("picture_id", "product_id")}
        aliases = {name: Column(name, column, "text") for name, column in self.manifest.aliases.items()}
        return {**own, **aliases, **{column.name: column for column in self.manifest.columns}}

    def refresh(self) -> None:
        """Look whether a newer build is to be searched; done by every search, once a second at most."""
        if self._fixed or time.monotonic() - self._checked < _REFRESH_SECONDS:
            return
        newest = self._current()
        if newest != self.manifest:
            self.manifest = newest
            self.table = self._open()
        self._checked = time.monotonic()

    def condition(self, where: str | None) -> str | None:
        """The database's condition of a filter.

        Raises:
            FilterError: at which character it is wrong.
        """
        return None if where is None else compile_filter(where, self.filter_names)

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
        query = np.zeros(self.manifest.stored_size, dtype=np.float32)
        query[: self.manifest.vector_size] = vector
        matching = len(self) if condition is None else self._count(condition)
        chosen = probes or (Probing(None, None) if exact else probing(self._indexed_rows(), matching, k))
        wanted = min(k, matching)
        while True:
            found = self._nearest(query, wanted, condition, chosen, tokens)
            hits = sorted(self._hits(found, vector), key=lambda hit: (-hit.score, hit.id))
            if not every_picture:
                hits = _best_of_each_product(hits)
            if len(hits) >= k or len(found) < wanted or wanted >= matching:
                return hits[:k]
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
        with self._reading():
            found = query.select([*self._columns(tokens), "_score"]).limit(2 * k).to_arrow()
        hits = self._hits(found, None, found["_score"].to_pylist())
        return _best_of_each_product(sorted(hits, key=lambda hit: (-hit.score, hit.id)))[:k]

    def vectors(self, ids: Sequence[str]) -> Float32:
        """Vectors [n,D] of pictures, in the order of ``ids``.

        Raises:
            VectorIndexError: one of them is not in the index.
        """
        rows = self.rows(ids, ["vector"])
        size = self.manifest.vector_size
        return np.array([row["vector"][:size] for row in rows], dtype=np.float32).reshape(len(ids), size)

    def regions(self, ids: Sequence[str]) -> list[Float32]:
        """Embedded tokens [R,H] of pictures, for joint scoring, in the order of ``ids``.

        Raises:
            VectorIndexError: one of them is not in the index, or damaged.
        """
        rows = self.rows(ids, ["regions"])
        return [self._tokens(row["regions"], name) for row, name in zip(rows, ids, strict=True)]

    def thumbnails(self, ids: Sequence[str]) -> list[bytes]:
        """JPEG files of pictures, in the order of ``ids``.

        Raises:
            VectorIndexError: one of them is not in the index.
        """
        return [row["thumbnail"] for row in self.rows(ids, ["thumbnail"])]

    def hits(self, ids: Sequence[str]) -> list[Hit]:
        """Pictures by id, with score 0, in the order of ``ids``.

        Raises:
            VectorIndexError: one of them is not in the index.
        """
        known: dict[str, Hit] = {}
        for found in self._by_ids(ids, self._columns(False)):
            known |= {hit.id: hit for hit in self._hits(found, None, [0.0] * len(found))}
        return [known[name] for name in self._require(ids, known)]

    def rows(self, ids: Sequence[str], fields: Sequence[str]) -> list[dict[str, Any]]:
        """Columns of the database of pictures, in the order of ``ids``.

        Raises:
            VectorIndexError: one of them is not in the index.
        """
        known: dict[str, dict[str, Any]] = {}
        for found in self._by_ids(ids, ["picture_id", *fields]):
            known |= {row["picture_id"]: row for row in found.to_pylist()}
        return [known[name] for name in self._require(ids, known)]

    def existing(self, ids: Sequence[str], fields: Sequence[str]) -> dict[str, dict[str, Any]]:
        """Columns of the database of those pictures that the index has, by id."""
        known: dict[str, dict[str, Any]] = {}
        for found in self._by_ids(ids, ["picture_id", *fields]):
            known |= {row["picture_id"]: row for row in found.to_pylist()}
        return known

    def pictures_of(self, ids: Sequence[str]) -> dict[str, str]:
        """Every picture that ``ids``, of products or of pictures, name: its id, and the id it was named by."""
        named = {name: name for name in self.existing(ids, [])}
        for found in self._by_ids(ids, ["picture_id", "product_id"], "product_id"):
            for row in found.to_pylist():
                named.setdefault(row["picture_id"], row["product_id"])
        return named

    def ids(self, where: str | None = None) -> list[str]:
        """Ids of all pictures, or of those that a filter lets through, sorted.

        Raises:
            FilterError: the filter is wrong.
        """
        self.refresh()
        query = self.table.search()
        condition = self.condition(where)
        if condition is not None:
            query = query.where(condition)
        with self._reading():
            return sorted(query.select(["picture_id"]).limit(None).to_arrow()["picture_id"].to_pylist())

    def metadata(self, row: Mapping[str, Any]) -> dict[str, Any]:
        """A database row's columns by the names that users know."""
        return {column.name: row[column.field] for column in self.manifest.columns}

    def _current(self) -> Manifest:
        complete = [one for one in read_manifests(self._database, self.path) if one.complete]
        if not complete:
            raise VectorIndexError(
                f"{self.path}: its first build is not complete. Run the same interbert index build command again; it "
                "goes on where it was stopped."
            )
        return complete[-1]

    def _open(self) -> Any:
        try:
            return self._database.open_table(self.manifest.table)
        except (ValueError, OSError, RuntimeError) as error:
            raise VectorIndexError(
                f"{self.path}: its table {self.manifest.table} cannot be opened ({_line(error)}). It is damaged: build "
                "the index anew."
            ) from error

    def _columns(self, tokens: bool) -> list[str]:
        fields = [*LIGHT, "vector", *(column.field for column in self.manifest.columns)]
        return [*fields, "regions"] if tokens else fields

    def _count(self, condition: str) -> int:
        """How many pictures a condition lets through; remembered for a version of the table."""
        key = (condition, int(self.table.version))
        if key not in self._counts:
            if len(self._counts) > 256:
                self._counts.clear()
            with self._reading():
                self._counts[key] = int(self.table.count_rows(condition))
        return self._counts[key]

    def _indexed_rows(self) -> int:
        """Pictures that the approximate index knows; 0 without one."""
        statistics = self.table.index_stats("vector_idx")
        return 0 if statistics is None else int(statistics.num_indexed_rows)

    def _nearest(self, query: Float32, k: int, condition: str | None, chosen: Probing, tokens: bool) -> Any:
        """Arrow table of the ``k`` nearest."""
        if not k:
            return self.table.schema.empty_table()
        search = self.table.search(query, vector_column_name="vector").distance_type("l2")
        if chosen.partitions is None:
            search = search.bypass_vector_index()
        else:
            search = search.nprobes(chosen.partitions).refine_factor(chosen.refine)
        if condition is not None:
            search = search.where(condition, prefilter=True)
        with self._reading():
            return search.select([*self._columns(tokens), "_distance"]).limit(k).to_arrow()

    def _hits(self, found: Any, query: Float32 | None, scores: Sequence[float] = ()) -> list[Hit]:
        """Rows as hits; scores are inner products with ``query`` where there is one."""
        if not len(found):
            return []
        size = self.manifest.vector_size
        stored = found["vector"].combine_chunks()
        vectors = stored.flatten().to_numpy(zero_copy_only=False).reshape(len(found), -1)[:, :size].astype(np.float32)
        if query is not None:
            scores = (vectors @ np.asarray(query, dtype=np.float32)).tolist()
        rows = found.drop_columns(["vector"]).to_pylist()
        return [
            Hit(
                row["picture_id"],
                row["product_id"],
                float(score),
                tuple(row["texts"]),
                self.metadata(row),
                vector,
                self._tokens(row["regions"], row["picture_id"]) if "regions" in row else None,
            )
            for row, vector, score in zip(rows, vectors, scores, strict=True)
        ]

    def _tokens(self, data: bytes, name: str) -> Float32:
        return decode_tokens(data, self.manifest.hidden_size, self.manifest.coding, f"{self.path}, picture {name}")

    def _by_ids(self, ids: Sequence[str], fields: Sequence[str], column: str = "picture_id") -> Iterator[Any]:
        """Arrow tables of the pictures that have these ids in ``column``, in no order."""
        self.refresh()
        unique = list(dict.fromkeys(ids))
        for start in range(0, len(unique), _IDS_AT_ONCE):
            part = unique[start : start + _IDS_AT_ONCE]
            with self._reading():
                yield self.table.search().where(among(column, part)).select(list(fields)).limit(None).to_arrow()

    def _require(self, ids: Sequence[str], known: Mapping[str, Any]) -> Sequence[str]:
        absent = next((name for name in ids if name not in known), None)
        if absent is not None:
            raise VectorIndexError(f"{self.path}: has no picture {absent!r}.")
        return ids

    @contextlib.contextmanager
    def _reading(self) -> Iterator[None]:
        try:
            yield
        except InterBertError:
            raise
        except (OSError, ValueError, RuntimeError) as error:
            raise VectorIndexError(
                f"{self.path}: cannot be read ({_line(error)}). See: interbert index verify {self.path}"
            ) from error


def among(column: str, values: Sequence[str]) -> str:
    """The condition that a text column has one of these values."""
    quoted = ", ".join("'" + value.replace("'", "''") + "'" for value in values)
    return f"{column} IN ({quoted})"


def _best_of_each_product(hits: Sequence[Hit]) -> list[Hit]:
    """The first hit of each product."""
    first: dict[str, Hit] = {}
    for hit in hits:
        first.setdefault(hit.product_id, hit)
    return list(first.values())


def _line(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:200]
