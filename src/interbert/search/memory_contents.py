"""What is read of a large index into memory: vectors, ids, texts and columns, by the table's fragments.

A fragment's rows never change their places. Where a column has other values, it has another file; a version of the
table is some fragments without the rows that are deleted.

Shapes: n images, D vector size, S stored size.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from interbert.search.compact_vectors import SAMPLE_ROWS, CompactVectors, partitions_of
from interbert.search.index import ProductIndex
from interbert.utils.environment import return_freed_memory

Float32 = NDArray[np.float32]
Places = NDArray[np.int64]

_BLOCK = 20_000
OFFSET_BITS = 32
"""Lance's row ids: the fragment's number, then the row's place in it."""

Key = tuple[int, tuple[str, ...]]
"""A fragment's number and its files: a column that is cast gives it others."""


@dataclass(frozen=True)
class Part:
    """Rows of one fragment, all that it had when it was read."""

    start: int
    """Position of its first row among the vectors."""
    offsets: Places
    """Places of its rows in the fragment, ascending."""
    rows: Any
    """Arrow table of what hits are made of, without vectors and regions."""
    files: Mapping[str, str]
    """The file that each column was read from."""

    def places(self, offsets: Places) -> Places:
        """Where rows are in this part, by their places in the fragment."""
        found: Places = np.searchsorted(self.offsets, offsets)
        return found


class Contents:
    """What was read of a build's table. One thread at a time may read more.

    Args:
        index: at a version, for good.
    """

    def __init__(self, index: ProductIndex) -> None:
        self.table = index.manifest.table
        self.parts: dict[Key, Part] = {}
        rows = len(index)
        wanted = min(rows, SAMPLE_ROWS * partitions_of(rows))
        with index.reading():
            sample = index.table.to_lance().sample(wanted, columns=["vector"])
        self.vectors = CompactVectors(_stored(sample, index), rows)

    @property
    def nbytes(self) -> int:
        """Bytes."""
        return self.vectors.nbytes + sum(int(part.rows.nbytes + part.offsets.nbytes) for part in self.parts.values())

    def lacking(self, index: ProductIndex) -> int:
        """Rows of a version that were not read yet, or of which some columns changed."""
        with index.reading():
            return sum(int(one.count_rows()) for key, one in fragments(index).items() if key not in self.parts)

    def read(self, index: ProductIndex) -> None:
        """Read what a version has and was not read yet; what it does not have is forgotten, vectors apart."""
        known = bool(self.parts)
        with index.reading():
            parts, files = {}, column_files(index)
            for key, fragment in fragments(index).items():
                parts[key] = self.parts.get(key) or self._with_changed(index, fragment, files[key[0]])
            self.parts = parts
        if not known:
            self.vectors.fit_memory()
            return_freed_memory()

    def _with_changed(self, index: ProductIndex, fragment: Any, files: dict[str, str]) -> Part:
        """A fragment that is new, or some of whose columns have other values than when it was read."""
        for key, part in self.parts.items():
            if key[0] == fragment.fragment_id and part.files["vector"] == files["vector"]:
                changed = [name for name in part.rows.column_names if part.files[name] != files[name]]
                return replace(part, rows=_with_columns(part, fragment, changed), files=files)
        return self._part(index, fragment, files)

    def _part(self, index: ProductIndex, fragment: Any, files: dict[str, str]) -> Part:
        import pyarrow as pa

        start, light, row_ids = len(self.vectors), [], []
        scanner = fragment.scanner(columns=index.fields(False), with_row_id=True, batch_size=_BLOCK)
        for batch in scanner.to_batches():
            table = pa.Table.from_batches([batch])
            self.vectors.add(_stored(table, index))
            row_ids.append(table["_rowid"].to_numpy())
            light.append(table.drop_columns(["vector", "_rowid"]))
        offsets = offsets_of(np.concatenate(row_ids)) if row_ids else np.empty(0, int)
        return Part(start, offsets, pa.concat_tables(light).combine_chunks() if light else None, files)


def offsets_of(row_ids: NDArray[np.integer[Any]]) -> Places:
    """Places of rows in their fragments, by Lance's row ids."""
    found: Places = row_ids.astype(np.int64) & ((1 << OFFSET_BITS) - 1)
    return found


def fragments(index: ProductIndex) -> dict[Key, Any]:
    """Lance's fragments of a version."""
    found = index.table.to_lance().get_fragments()
    return {(one.fragment_id, tuple(file.path for file in one.data_files())): one for one in found}


def column_files(index: ProductIndex) -> dict[int, dict[str, str]]:
    """Of each fragment, by its number, the file of each column that is read; one that changed has a file of its own."""
    names, data = set(index.fields(True)), index.table.to_lance()
    leaves = {one.name(): _leaf(one).id() for one in data.lance_schema.fields() if one.name() in names}
    found = {}
    for one in data.get_fragments():
        holding = {number: file.path for file in one.data_files() for number in file.fields}
        found[one.fragment_id] = {name: holding[leaf] for name, leaf in leaves.items()}
    return found


def _leaf(field: Any) -> Any:
    """The field itself, or the values of a list: a list's own number is in no file."""
    children = field.children()
    return _leaf(children[0]) if children else field


def _with_columns(part: Part, fragment: Any, names: list[str]) -> Any:
    """A part's rows with some columns read anew; a row that is deleted by now has none of them."""
    import pyarrow as pa

    if not names:
        return part.rows
    found = fragment.scanner(columns=names, with_row_id=True).to_table().combine_chunks()
    offsets = offsets_of(found["_rowid"].to_numpy())
    where = np.full(len(part.offsets), -1)
    where[part.places(offsets)] = np.arange(len(offsets))
    places = pa.array(where, mask=where < 0)
    rows = part.rows
    for name in names:
        rows = rows.set_column(rows.column_names.index(name), name, found[name].take(places))
    return rows.combine_chunks()


def _stored(table: Any, index: ProductIndex) -> Float32:
    flat = table["vector"].combine_chunks().flatten().to_numpy(zero_copy_only=False)
    stored: Float32 = flat.reshape(-1, index.manifest.stored_size).astype(np.float32)
    return stored
