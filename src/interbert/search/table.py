"""An index's table: which build is searched, and its rows by id.

Shapes: n images, R image tokens, H hidden size, D vector size.
"""

from __future__ import annotations

import contextlib
import copy
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from interbert.errors import BusyError, InterBertError, VectorIndexError, first_line
from interbert.search.columns import Column
from interbert.search.filters import Filter, read_filter
from interbert.search.manifest import Manifest, connect, is_index, read_manifests
from interbert.search.vectors import decode_tokens, from_stored

Float32 = NDArray[np.float32]

_REFRESH_SECONDS = 1.0
_IDS_AT_ONCE = 1000
_FIELDS = ("picture_id", "product_id", "digest", "texts", "fulltext", "vector", "regions", "thumbnail")
"""Columns of the table of every index."""
FULL_TEXT_INDEX = "fulltext_idx"
TERMS_TOKENIZER = "whitespace"
"""Of the index of full text, whose column holds terms that spaces part (:mod:`interbert.search.terms`)."""


class IndexTable:
    """The newest complete build of an index, or one that is being written.

    Args:
        path: folder or URI.
        build: a build that is not searched yet, for who writes it; the newest complete one when not given.

    Raises:
        VectorIndexError: it is missing, unfinished or damaged.
    """

    before_commit: Callable[[], None] | None = None
    """Raises, right before a change, when this process may not write any more."""
    _known_columns: tuple[Column, ...] | None = None
    """Of a version, for good: asking the database for its columns costs more than a search in memory."""

    def __init__(self, path: str | Path, build: Manifest | None = None) -> None:
        self.path = str(path)
        if "://" not in self.path and not is_index(self.path):
            raise VectorIndexError(
                f"{self.path}: there is no index here. Make one with: interbert index build MODEL SOURCE {self.path}"
            )
        self._database = connect(self.path)
        self._fixed = build is not None
        self._lock = threading.Lock()
        self.manifest = build or self._current()
        self.table = self._open(self.manifest)
        self._checked = time.monotonic()

    @classmethod
    def open(cls, path: str | Path) -> Self:
        """Open an index.

        Raises:
            VectorIndexError: it is missing, unfinished or damaged.
        """
        return cls(path)

    def __len__(self) -> int:
        """Number of images."""
        return int(self.table.count_rows())

    @property
    def metadata_columns(self) -> tuple[Column, ...]:
        """The catalogue's columns, which filters can use, with the kinds that the table has now.

        A column of whole numbers is widened in the table by one commit, so that is where its kind is read.
        """
        if self._known_columns is not None:
            return self._known_columns
        schema = self.table.schema
        return tuple(
            replace(column, kind="number")
            if column.kind == "integer" and str(schema.field(column.field).type) == "double"
            else column
            for column in self.manifest.columns
        )

    @property
    def filter_names(self) -> dict[str, Column]:
        """Every name that a filter can use."""
        own = {name: Column(name, name, "text") for name in ("picture_id", "product_id")}
        aliases = {name: Column(name, column, "text") for name, column in self.manifest.aliases.items()}
        return {**own, **aliases, **{column.name: column for column in self.metadata_columns}}

    def refresh(self) -> None:
        """Look whether a newer build is to be searched; done by every search, once a second at most."""
        if self._fixed or time.monotonic() - self._checked < _REFRESH_SECONDS:
            return
        newest = self._current()
        with self._lock:
            if newest != self.manifest:
                self.manifest, self.table = newest, self._open(newest)
        self._checked = time.monotonic()

    def pinned(self) -> Self:
        """The newest build of the index, for good, so that one search uses one model all along."""
        self.refresh()
        with self._lock:
            same = copy.copy(self)
        same._fixed = True
        return same

    def require_newest(self) -> None:
        """Check that no other build has taken the place of this one, which would lose what is written to it.

        Raises:
            BusyError: one has, or :attr:`before_commit` says so.
        """
        builds = read_manifests(self._database, self.path)
        newest = [one.table for one in builds if one.complete or not self.manifest.complete]
        if newest[-1:] != [self.manifest.table]:
            raise BusyError(
                f"{self.path}: another command has built it anew meanwhile, so changes to the build before are not in "
                "it. Run the same command again."
            )
        if self.before_commit is not None:
            self.before_commit()

    def condition(self, where: str | None) -> str | None:
        """The database's condition of a filter.

        Raises:
            FilterError: at which character it is wrong.
        """
        return None if where is None else self.read_filter(where).condition

    def read_filter(self, where: str) -> Filter:
        """A filter over this index's columns.

        Raises:
            FilterError: at which character it is wrong.
        """
        known = ",".join(column.name for column in self.manifest.columns)
        remedy = (
            "its texts are shown and searched in full. To filter by them, too, build the index anew: interbert index "
            f"build {self.manifest.model} {self.manifest.source} {self.path} --rebuild --columns {known}"
        )
        texts = {
            name: f"{remedy},{name}".replace("--columns ,", "--columns ") for name in self.manifest.mapping["texts"]
        }
        return read_filter(where, self.filter_names, texts)

    def vectors(self, ids: Sequence[str]) -> Float32:
        """Vectors [n,D] of images, in the order of ``ids``.

        Raises:
            VectorIndexError: one of them is not in the index.
        """
        stored = np.array([row["vector"] for row in self.rows(ids, ["vector"])], dtype=np.float32)
        return from_stored(stored.reshape(len(ids), self.manifest.stored_size), self.manifest.vector_size)

    def regions(self, ids: Sequence[str]) -> list[Float32]:
        """Embedded tokens [R,H] of images, for joint scoring, in the order of ``ids``.

        Raises:
            VectorIndexError: one of them is not in the index, or damaged.
        """
        rows = self.rows(ids, ["regions"])
        return [self.tokens_of(row["regions"], name) for row, name in zip(rows, ids, strict=True)]

    def thumbnails(self, ids: Sequence[str]) -> list[bytes]:
        """JPEG files of images, in the order of ``ids``.

        Raises:
            VectorIndexError: one of them is not in the index.
        """
        return [row["thumbnail"] for row in self.rows(ids, ["thumbnail"])]

    def rows(self, ids: Sequence[str], fields: Sequence[str]) -> list[dict[str, Any]]:
        """Columns of the database of images, in the order of ``ids``.

        Raises:
            VectorIndexError: one of them is not in the index.
        """
        known = self.existing(ids, fields)
        return [known[name] for name in self.require(ids, known)]

    def existing(self, ids: Sequence[str], fields: Sequence[str]) -> dict[str, dict[str, Any]]:
        """Columns of the database of those images that the index has, by id."""
        known: dict[str, dict[str, Any]] = {}
        for found in self.by_ids(ids, ["picture_id", *fields]):
            known |= {row["picture_id"]: row for row in found.to_pylist()}
        return known

    def ids(self, where: str | None = None) -> list[str]:
        """Ids of all images, or of those that a filter lets through, sorted.

        Raises:
            FilterError: the filter is wrong.
        """
        self.refresh()
        query = self.table.search()
        condition = self.condition(where)
        if condition is not None:
            query = query.where(condition)
        with self.reading():
            return sorted(query.select(["picture_id"]).limit(None).to_arrow()["picture_id"].to_pylist())

    def scan(self, fields: Sequence[str], batch_rows: int) -> Iterator[Any]:
        """Arrow batches of every image's columns of the database."""
        with self.reading():
            yield from self.table.search().select(list(fields)).limit(None).to_batches(batch_rows)

    def batch_vectors(self, stored: Any) -> Float32:
        """An Arrow column of stored vectors as [n,D]."""
        flat = stored.flatten().to_numpy(zero_copy_only=False)
        return from_stored(flat.reshape(-1, self.manifest.stored_size), self.manifest.vector_size)

    def counts_terms(self) -> bool:
        """Whether full text counts terms; until its first change, an index of interbert 0.1.0 counts ICU's words."""
        tokenizers = [
            one.index_details["base_tokenizer"] for one in self.table.list_indices() if one.name == FULL_TEXT_INDEX
        ]
        return tokenizers == [TERMS_TOKENIZER]

    def _current(self) -> Manifest:
        complete = [one for one in read_manifests(self._database, self.path) if one.complete]
        if not complete:
            raise VectorIndexError(
                f"{self.path}: its first build is not complete. Run the same interbert index build command again; it "
                "goes on where it was stopped."
            )
        return complete[-1]

    def _open(self, build: Manifest) -> Any:
        try:
            table = self._database.open_table(build.table)
            schema = table.schema
        except (ValueError, OSError, RuntimeError) as error:
            raise VectorIndexError(
                f"{self.path}: its table {build.table} cannot be opened ({first_line(error)}). It is damaged: build "
                "the index anew."
            ) from error
        size = getattr(schema.field("vector").type, "list_size", None) if "vector" in schema.names else None
        lacking = [field for field in _FIELDS + tuple(one.field for one in build.columns) if field not in schema.names]
        if size != build.stored_size or lacking:
            what = f"has no column {', '.join(lacking)}" if lacking else f"has vectors of {size} numbers"
            raise VectorIndexError(
                f"{self.path}: its table {build.table} {what}, not what its manifest says. It is damaged: build the "
                "index anew."
            )
        return table

    def tokens_of(self, data: bytes, name: str) -> Float32:
        """Embedded tokens [R,H] of what the database keeps of image ``name``."""
        return decode_tokens(
            data, self.manifest.hidden_size, self.manifest.token_quantisation, f"{self.path}, image {name}"
        )

    def by_ids(self, ids: Sequence[str], fields: Sequence[str], column: str = "picture_id") -> Iterator[Any]:
        """Arrow tables of the images that have these ids in ``column``, in no order."""
        self.refresh()
        unique = list(dict.fromkeys(ids))
        for start in range(0, len(unique), _IDS_AT_ONCE):
            part = unique[start : start + _IDS_AT_ONCE]
            with self.reading():
                yield self.table.search().where(among(column, part)).select(list(fields)).limit(None).to_arrow()

    def require(self, ids: Sequence[str], known: Mapping[str, Any]) -> Sequence[str]:
        """The ids, all of which must be known."""
        absent = next((name for name in ids if name not in known), None)
        if absent is not None:
            raise VectorIndexError(f"{self.path}: has no image {absent!r}.")
        return ids

    @contextlib.contextmanager
    def reading(self) -> Iterator[None]:
        """Turn what goes wrong while the block reads into a :class:`~interbert.errors.VectorIndexError`."""
        try:
            yield
        except InterBertError:
            raise
        except (OSError, ValueError, RuntimeError) as error:
            raise VectorIndexError(
                f"{self.path}: cannot be read ({first_line(error)}). See: interbert index verify {self.path}"
            ) from error


def table_state(table: Any) -> tuple[str, int]:
    """What the contents of a table depend on: every build is a table of its own, and counts its versions from 1."""
    return table.name, int(table.version)


def among(column: str, values: Sequence[str]) -> str:
    """The condition that a text column has one of these values."""
    quoted = ", ".join("'" + value.replace("'", "''") + "'" for value in values)
    return f"{column} IN ({quoted})"
