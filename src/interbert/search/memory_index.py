"""A version of a large index in memory, searched without the disk, regions apart.

A change costs what it adds, and versions that are searched at the same time share the rest
(:mod:`interbert.search.memory_contents`).

Shapes: D vector size.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from interbert.search.compact_vectors import Selection
from interbert.search.hits import Hit
from interbert.search.index import ProductIndex
from interbert.search.memory_contents import OFFSET_BITS, Contents, Part, fragments, offsets_of
from interbert.search.vectors import from_stored, rotation, to_query

Float32 = NDArray[np.float32]
Places = NDArray[np.int64]

_SELECTIONS = 64


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
            for key, fragment in fragments(index).items():
                part = self._parts[key[0]] = contents.parts[key]
                alive[part.start + self._living(fragment, part)] = True
        self._count = int(alive.sum())
        self._whole = contents.vectors.selection(None if self._count == self._total else alive)
        self._selections: OrderedDict[str, Selection] = OrderedDict()
        ordered = sorted(self._parts.values(), key=lambda part: part.start)
        self._ordered = [part for part in ordered if len(part.offsets)]
        self._starts = np.array([part.start for part in self._ordered])

    @staticmethod
    def _living(fragment: Any, part: Part) -> Places:
        """Places in the part of the fragment's rows that this version has."""
        if fragment.count_rows() == len(part.offsets):
            return np.arange(len(part.offsets))
        ids = fragment.scanner(columns=[], with_row_id=True).to_table()["_rowid"].to_numpy()
        return part.places(offsets_of(ids))

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
        selection = self._selection(where)
        asked = np.asarray(vector, dtype=np.float32)
        query = to_query(asked, manifest.stored_size, manifest.largest_norm)
        turned = rotation(manifest.stored_size)[: manifest.vector_size].T @ asked
        wanted = min(k, selection.matching)
        while True:
            positions, stored = self._vectors.nearest(query, wanted, selection)
            rows = self._rows(positions)
            scores = stored @ turned
            chosen = _best_of_products(rows, scores, k)
            if len(chosen) >= k or wanted >= selection.matching:
                break
            wanted = min(2 * wanted, selection.matching)
        if not chosen:
            return []
        hits = rows.take(chosen)
        if tokens:
            hits = hits.append_column("regions", self._regions(positions[chosen], hits["picture_id"].to_pylist()))
        return self._index.hits_of(hits, from_stored(stored[chosen], manifest.vector_size), scores[chosen].tolist())

    def _selection(self, where: str | None) -> Selection:
        """The positions that a filter lets through, remembered."""
        if where is None:
            return self._whole
        known = self._selections.get(where)
        if known is None:
            known = self._selections[where] = self._vectors.selection(self._mask(where))
            while len(self._selections) > _SELECTIONS:
                self._selections.popitem(last=False)
        return known

    def _mask(self, where: str) -> NDArray[np.bool_]:
        condition = self._index.condition(where)
        mask = np.zeros(self._total, dtype=bool)
        with self._index.reading():
            found = self._index.table.to_lance().to_table(columns=[], filter=condition, with_row_id=True)
        ids = found["_rowid"].to_numpy().astype(np.int64)
        numbers = ids >> OFFSET_BITS
        for number in np.unique(numbers):
            part = self._parts[int(number)]
            mask[part.start + part.places(offsets_of(ids[numbers == number]))] = True
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
            ids.append(numbers[part.start] << OFFSET_BITS | int(part.offsets[position - part.start]))
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
