"""Changes of an index's table, each one atomic commit.

Shapes: n images, D vector size.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

import numpy as np
from numpy.typing import NDArray

from interbert.errors import writing
from interbert.search import ann_parameters
from interbert.search.columns import arrow_type
from interbert.search.index import ProductIndex
from interbert.search.manifest import Manifest, connect
from interbert.search.restore_points import (
    READERS,
    add_restore_point,
    clean_up,
    head_point,
    read_retention,
    restore_points,
)
from interbert.search.table import FULL_TEXT_INDEX, TERMS_TOKENIZER, among
from interbert.search.terms import stemming_language, stored_terms
from interbert.search.vectors import encode_tokens, to_stored

Float32 = NDArray[np.float32]

_NEVER, _NOBODY_READS = timedelta(days=36_500), timedelta(milliseconds=1)
"""Ages of versions to remove."""
_UNINDEXED_ROWS = 5_000
_UNINDEXED_SHARE = 0.05
_IDS_AT_ONCE = 1000
_TEXTS_AT_ONCE = 20_000
_WIDE, _WHOLE = "__wide", "__whole"
"""Ends of names that no column of a catalogue has (:func:`interbert.search.columns.find_columns`)."""


@dataclass(frozen=True)
class Product:
    """An image ready to be written."""

    image_id: str
    product_id: str
    digest: str
    """SHA-256 of the image's file."""
    texts: tuple[str, ...]
    thumbnail: bytes
    vector: Float32
    """[D]"""
    tokens: Float32
    """[R,H]"""


def table_schema(manifest: Manifest) -> Any:
    """Columns of an index's table."""
    import pyarrow as pa

    fields = [
        ("picture_id", pa.string()),
        ("product_id", pa.string()),
        ("digest", pa.string()),
        ("texts", pa.list_(pa.string())),
        ("fulltext", pa.string()),
        ("vector", pa.list_(pa.float16(), manifest.stored_size)),
        ("regions", pa.binary()),
        ("thumbnail", pa.binary()),
    ]
    return pa.schema([*fields, *((column.field, arrow_type(column.kind)) for column in manifest.columns)])


class IndexWriter:
    """Writes one build of an index. One writer at a time: hold :func:`interbert.utils.files.only_writer`.

    Args:
        index: opened on the build to write.
    """

    def __init__(self, index: ProductIndex) -> None:
        self.index = index
        self._table = index.table
        self._manifest = index.manifest
        self._drop_leftovers()
        if self._manifest.complete and not restore_points(self._table):  # of an interbert that made none
            add_restore_point(self._table, "change", head_point(self._table).at)

    @contextlib.contextmanager
    def _committing(self) -> Iterator[None]:
        """Commit to the build that is searched, or that is being made, alone: the lock is of one machine."""
        self.index.require_newest()
        with writing(self.index.path):
            yield

    def widen(self, columns: dict[str, Any]) -> None:
        """Turn columns of whole numbers into numbers where new values have fractions.

        Readers see one or the other, never neither: the names change places in one commit.

        Args:
            columns: Arrow arrays by field, as they are going to be written.

        Raises:
            StorageError: as :meth:`put`.
        """
        import pyarrow as pa

        kinds = {field.name: field.type for field in self._table.schema}
        for name, values in columns.items():
            if pa.types.is_int64(kinds[name]) and pa.types.is_float64(values.type):
                with self._committing():
                    self._table.add_columns({name + _WIDE: f"cast({name} as double)"})
                    self._table.alter_columns(
                        {"path": name, "rename": name + _WHOLE}, {"path": name + _WIDE, "rename": name}
                    )
                    self._drop_leftovers()

    def _drop_leftovers(self) -> None:
        """Drop columns of a :meth:`widen` that was stopped between its commits, or is done."""
        names = [name for name in self._table.schema.names if name.endswith((_WIDE, _WHOLE))]
        if names:
            with self._committing():
                self._table.drop_columns(names)

    def put(self, products: Sequence[Product], metadata: dict[str, Any], known: bool) -> None:
        """Add images, or replace those that have the same ids, in one commit.

        Args:
            products: to write.
            metadata: Arrow arrays [n] by field.
            known: some of the ids may be there already.

        Raises:
            StorageError: the disk is full or not writable; what was committed stays.
            UsageError: another build has taken this one's place.
        """
        if not products:
            return
        rows = self._rows(products, metadata)
        with self._committing():
            if known:
                merge = self._table.merge_insert("picture_id").when_matched_update_all().when_not_matched_insert_all()
                merge.execute(rows)
            else:
                self._table.add(rows)

    def update(self, columns: dict[str, Any]) -> int:
        """Replace columns of images in one commit, leaving vectors and their index as they are; returns how many.

        Args:
            columns: Arrow arrays by field, ``picture_id`` among them.

        Raises:
            StorageError: as :meth:`put`.
        """
        import pyarrow as pa

        if not len(columns["picture_id"]):
            return 0
        with self._committing():
            done = self._table.merge_insert("picture_id").when_matched_update_all().execute(pa.table(columns))
        return int(done.num_updated_rows)

    def delete(self, condition: str) -> int:
        """Remove the images that a condition of the database names; returns how many.

        Raises:
            StorageError: as :meth:`put`.
        """
        with self._committing():
            return int(self._table.delete(condition).num_deleted_rows)

    def delete_ids(self, ids: Sequence[str]) -> int:
        """Remove images by id; returns how many."""
        parts = [ids[start : start + _IDS_AT_ONCE] for start in range(0, len(ids), _IDS_AT_ONCE)]
        return sum(self.delete(among("picture_id", part)) for part in parts)

    def maintain(self, finished: bool = False, made_by: str = "change") -> None:
        """Bring full text up to date, and the approximate and the id index where enough images wait for them.

        Images that those two do not know yet are found all the same: searches compare with each of them. Full text
        cannot wait: LanceDB scores titles that its index knows by how often words were when it was made, others by how
        often they are now, and ``optimize()`` goes on counting titles that were replaced. So it is made anew after
        every change, which takes five to ten seconds a million titles (benchmarks/results/full_text.md).

        Args:
            finished: a build is complete that nobody reads yet: even if few wait, and its older versions go.
            made_by: what the restore point says that is made of the table as it then is.

        Raises:
            StorageError: as :meth:`put`.
        """
        from lancedb.index import BTree, IvfSq

        rows = len(self.index)
        if not rows:
            self.index.require_newest()
            return
        there = {one.name for one in self._table.list_indices()} - {FULL_TEXT_INDEX}
        with self._committing():
            if "picture_id_idx" not in there:
                self._table.create_index("picture_id", config=BTree(), name="picture_id_idx")
            if "vector_idx" not in there and rows >= ann_parameters.INDEX_FROM:
                approximate = IvfSq(
                    distance_type="l2",
                    num_partitions=ann_parameters.partitions_for(rows),
                    max_iterations=15,
                    sample_rate=64,
                )
                self._table.create_index("vector", config=approximate, name="vector_idx")
            waiting = max(self._waiting(name) for name in there) if there else 0
            if finished or waiting > max(_UNINDEXED_ROWS, _UNINDEXED_SHARE * rows):
                self._table.optimize(cleanup_older_than=_NEVER)  # it refuses to clean up beside a restore point
            self._index_titles()
            self.keep("build" if finished else made_by, _NOBODY_READS if finished else READERS)
        self.index.require_newest()  # else the last commit may have gone to a build that nobody searches any more

    def keep(self, made_by: str = "change", readers: timedelta = READERS) -> None:
        """Make a restore point of the table as it is, and remove what is neither kept nor read any more.

        A build that is not complete has none: nobody searched it. ``readers`` are as of :func:`clean_up`.
        """
        if self._manifest.complete or made_by == "build":
            add_restore_point(self._table, made_by)
        clean_up(self._table, read_retention(connect(self.index.path)).days, readers)

    def _index_titles(self) -> None:
        """Make the index of full text anew unless nothing was committed since; always the last commit of a command."""
        from lancedb.index import FTS

        if not self.index.counts_terms():
            self._store_terms()
        if self._full_text_version() == int(self._table.version) - 1:
            return
        language = stemming_language(self._manifest.mapping["texts"])
        full_text = FTS(
            base_tokenizer=TERMS_TOKENIZER, language=language, stem=True, remove_stop_words=False, ascii_folding=True
        )
        self._table.create_index("fulltext", config=full_text, name=FULL_TEXT_INDEX, replace=True)

    def _full_text_version(self) -> int | None:
        """Version of the table that the index of full text was made of; None without one."""
        made = [one for one in self._table.to_lance().describe_indices() if one.name == FULL_TEXT_INDEX]
        return min((int(part.dataset_version_at_last_update) for one in made for part in one.segments), default=None)

    def _store_terms(self) -> None:
        """Write the terms of texts where an earlier version of interbert wrote the texts themselves."""
        import pyarrow as pa

        for batch in self.index.scan(["picture_id", "texts", "fulltext"], _TEXTS_AT_ONCE):
            rows = [
                (row["picture_id"], terms)
                for row in batch.to_pylist()
                if (terms := stored_terms(row["texts"])) != row["fulltext"]
            ]
            self.update(
                {"picture_id": pa.array([name for name, _ in rows]), "fulltext": pa.array([t for _, t in rows])}
            )

    def _waiting(self, name: str) -> int:
        statistics = self._table.index_stats(name)
        return 0 if statistics is None else int(statistics.num_unindexed_rows)

    def _rows(self, products: Sequence[Product], metadata: dict[str, Any]) -> Any:
        import pyarrow as pa

        manifest = self._manifest
        schema = table_schema(replace(manifest, columns=self.index.metadata_columns))
        stored = to_stored(np.stack([one.vector for one in products]), manifest.stored_size, manifest.largest_norm)
        flat = pa.array(stored.astype(np.float16).reshape(-1))
        columns = {
            "picture_id": [one.image_id for one in products],
            "product_id": [one.product_id for one in products],
            "digest": [one.digest for one in products],
            "texts": [list(one.texts) for one in products],
            "fulltext": [stored_terms(one.texts) for one in products],
            "vector": pa.FixedSizeListArray.from_arrays(flat, manifest.stored_size),
            "regions": [encode_tokens(one.tokens, manifest.token_quantisation) for one in products],
            "thumbnail": [one.thumbnail for one in products],
            **metadata,
        }
        arrays = [
            column if isinstance(column, pa.Array) else pa.array(column, schema.field(name).type)
            for name, column in columns.items()
        ]
        return pa.Table.from_arrays(arrays, names=list(columns)).cast(schema)
