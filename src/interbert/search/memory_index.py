"""A large index's vectors, ids, texts and columns in memory, for searches that read nothing from the disk.

What is read is kept by the table's fragments, which never change: a version of the table is some of them, without the
rows that are deleted. So a change costs what it adds, and versions that are searched at the same time share the rest.
Regions stay on the disk.

Shapes: n images, D vector size, S stored size.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from interbert.search.compact_vectors import SAMPLE_ROWS, CompactVectors, partitions_of
from interbert.search.hits import Hit
from interbert.search.index import ProductIndex
from interbert.search.vectors import from_stored, rotation, to_query

Float32 = NDArray[np.float32]
Places = NDArray[np.int64]
Bits = NDArray[np.uint8]

_BLOCK = 20_000
_MASKS = 64
_OFFSET_BITS = 32
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
            return sum(int(one.count_rows()) for key, one in _fragments(index).items() if key not in self.parts)

    def read(self, index: ProductIndex) -> None:
        """Read what a version has and was not read yet; what it does not have is forgotten, vectors apart."""
        with index.reading():
            parts = {}
            for key, fragment in _fragments(index).items():
                files = _files(index, fragment)
                parts[key] = self.parts.get(key) or self._with_changed(index, fragment, files)
            self.parts = parts

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
        offsets = np.concatenate(row_ids).astype(np.int64) & ((1 << _OFFSET_BITS) - 1) if row_ids else np.empty(0, int)
        return Part(start, offsets, pa.concat_tables(light).combine_chunks() if light else None, files)


def _fragments(index: ProductIndex) -> dict[Key, Any]:
    found = index.table.to_lance().get_fragments()
    return {(one.fragment_id, tuple(file.path for file in one.data_files())): one for one in found}


def _files(index: ProductIndex, fragment: Any) -> dict[str, str]:
    """The file that has each of the columns that are read; one that changed has a file of its own."""
    holding = {number: file.path for file in fragment.data_files() for number in file.fields}
    names = set(index.fields(False))
    fields = [one for one in index.table.to_lance().lance_schema.fields() if one.name() in names]
    return {one.name(): holding[_leaf(one).id()] for one in fields}


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
    offsets = found["_rowid"].to_numpy().astype(np.int64) & ((1 << _OFFSET_BITS) - 1)
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


class MemoryIndex:
    """One version of an index, searched in memory. Threads may share it.

    Args:
        index: at that version, for good.
        contents: with everything that the version has.
    """

    def __init__(self, index: ProductIndex, contents: Contents) -> None:
        self._index = index
        self._vectors = contents.vectors
        self._total = len(contents.vectors)
        self._parts: dict[int, Part] = {}
        alive = np.zeros(self._total, dtype=bool)
        with index.reading():
            for key, fragment in _fragments(index).items():
                part = self._parts[key[0]] = contents.parts[key]
                alive[part.start + self._living(fragment, part)] = True
        self._count = int(alive.sum())
        self._alive = None if self._count == self._total else alive
        self._masks: OrderedDict[str, tuple[Bits, int]] = OrderedDict()
        ordered = sorted(self._parts.values(), key=lambda part: part.start)
        self._ordered = [part for part in ordered if len(part.offsets)]
        self._starts = np.array([part.start for part in self._ordered])

    @staticmethod
    def _living(fragment: Any, part: Part) -> Places:
        """Places in the part of the fragment's rows that this version has."""
        if fragment.count_rows() == len(part.offsets):
            return np.arange(len(part.offsets))
        ids = fragment.scanner(columns=[], with_row_id=True).to_table()["_rowid"].to_numpy()
        return part.places(ids.astype(np.int64) & ((1 << _OFFSET_BITS) - 1))

    def __len__(self) -> int:
        """Number of images."""
        return self._count

    def vector_search(self, vector: Float32, k: int, where: str | None = None, *, tokens: bool = False) -> list[Hit]:
        """As :meth:`interbert.search.index.ProductIndex.vector_search`; vectors of hits are rounded to 12 bits.

        Raises:
            FilterError: the filter is wrong.
            VectorIndexError: regions or a column cannot be read.
        """
        manifest = self._index.manifest
        selected, matching = self._selected(self._index.condition(where))
        asked = np.asarray(vector, dtype=np.float32)
        query = to_query(asked, manifest.stored_size, manifest.largest_norm)
        turned = rotation(manifest.stored_size)[: manifest.vector_size].T @ asked
        wanted = min(k, matching)
        while True:
            positions, stored = self._vectors.nearest(query, wanted, selected, matching, self._total)
            rows = self._rows(positions)
            scores = stored @ turned
            chosen = _best_of_products(rows, scores, k)
            if len(chosen) >= k or wanted >= matching:
                break
            wanted = min(2 * wanted, matching)
        if not chosen:
            return []
        hits = rows.take(chosen)
        if tokens:
            hits = hits.append_column("regions", self._regions(positions[chosen], hits["picture_id"].to_pylist()))
        return self._index.hits_of(hits, from_stored(stored[chosen], manifest.vector_size), scores[chosen].tolist())

    def _selected(self, condition: str | None) -> tuple[Bits | None, int]:
        """Bits of the positions that a condition of the database lets through, and how many; remembered."""
        if condition is None and self._alive is None and len(self._vectors) == self._total:
            return None, self._count
        known = self._masks.get(condition or "")
        if known is None:
            living = np.ones(self._total, dtype=bool) if self._alive is None else self._alive
            mask = living if condition is None else self._mask(condition)
            known = np.packbits(mask, bitorder="little"), int(mask.sum())
            self._masks[condition or ""] = known
            while len(self._masks) > _MASKS:
                self._masks.popitem(last=False)
        return known

    def _mask(self, condition: str) -> NDArray[np.bool_]:
        mask = np.zeros(self._total, dtype=bool)
        with self._index.reading():
            found = self._index.table.to_lance().to_table(columns=[], filter=condition, with_row_id=True)
        ids = found["_rowid"].to_numpy().astype(np.int64)
        numbers = ids >> _OFFSET_BITS
        for number in np.unique(numbers):
            part = self._parts[int(number)]
            mask[part.start + part.places(ids[numbers == number] & ((1 << _OFFSET_BITS) - 1))] = True
        return mask

    def _part_of(self, positions: Places) -> Places:
        found: Places = np.searchsorted(self._starts, positions, side="right") - 1
        return found

    def _rows(self, positions: Places) -> Any:
        """Arrow table of what hits are made of, in the order of ``positions``."""
        import pyarrow as pa

        homes = self._part_of(positions)
        taken, order = [], []
        for home in np.unique(homes):
            part, mine = self._ordered[home], np.flatnonzero(homes == home)
            taken.append(part.rows.take(pa.array(positions[mine] - part.start)))
            order.append(mine)
        if len(taken) < 2:
            return taken[0] if taken else self._index.table.schema.empty_table().select(self._light())
        return pa.concat_tables(taken).take(pa.array(np.argsort(np.concatenate(order))))

    def _light(self) -> list[str]:
        return [field for field in self._index.fields(False) if field != "vector"]

    def _regions(self, positions: Places, names: Sequence[str]) -> Any:
        """Regions of images, from the disk."""
        import pyarrow as pa

        numbers = {part.start: number for number, part in self._parts.items() if len(part.offsets)}
        ids = []
        for position, home in zip(positions.tolist(), self._part_of(positions).tolist(), strict=True):
            part = self._ordered[home]
            ids.append(numbers[part.start] << _OFFSET_BITS | int(part.offsets[position - part.start]))
        with self._index.reading():
            found = self._index.table.take_row_ids(ids).select(["picture_id", "regions"]).to_arrow()
        known = dict(zip(found["picture_id"].to_pylist(), found["regions"].to_pylist(), strict=True))
        return pa.array([known[name] for name in names], found.schema.field("regions").type)


def _best_of_products(rows: Any, scores: Float32, k: int) -> list[int]:
    """Places of the best image of each of the ``k`` best products, best first."""
    names, products = rows["picture_id"].to_pylist(), rows["product_id"].to_pylist()
    best: dict[str, int] = {}
    for place in sorted(range(len(names)), key=lambda place: (-float(scores[place]), names[place])):
        best.setdefault(products[place], place)
    return list(best.values())[:k]
