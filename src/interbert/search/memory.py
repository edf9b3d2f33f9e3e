"""The rows of one version of an index in memory: where all vectors are compared anyway, many queries cost one product.

Shapes: n rows, Q queries, D vector size, S stored size.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from interbert.search.hits import Hit
from interbert.search.index import ProductIndex
from interbert.search.vectors import from_stored, to_query

Float32 = NDArray[np.float32]
Mask = NDArray[np.bool_]

_SAMPLE = 100
_MASKS = 64


def expected_bytes(index: ProductIndex) -> int:
    """What the rows of an index would take in memory, from the size of its first ones."""
    with index.reading():
        sample = index.table.search().select(index.fields(True)).limit(_SAMPLE).to_arrow()
    return int(len(index) * (sample.nbytes / max(len(sample), 1) + 4 * index.manifest.stored_size))


class RowsInMemory:
    """What searches read of one version: vectors, regions, texts and columns; results are those of the table.

    Args:
        index: at a version, for good.
    """

    def __init__(self, index: ProductIndex) -> None:
        self._index = index
        with index.reading():
            found = index.table.search().select(index.fields(True)).with_row_id(True).limit(None).to_arrow()
        found = found.combine_chunks()
        self._rows = found.drop_columns(["vector", "_rowid"])
        stored = found["vector"].combine_chunks().flatten().to_numpy(zero_copy_only=False)
        self._stored: Float32 = stored.reshape(len(found), -1).astype(np.float32)
        self._squares = np.square(self._stored).sum(axis=1)
        self._row_ids: NDArray[np.uint64] = found["_rowid"].to_numpy()
        self._names: list[str] = found["picture_id"].to_pylist()
        self._products: list[str] = found["product_id"].to_pylist()
        self._places = {name: place for place, name in enumerate(self._names)}
        self._masks: OrderedDict[str, Mask] = OrderedDict()

    @property
    def nbytes(self) -> int:
        """Bytes."""
        return int(self._rows.nbytes + self._stored.nbytes)

    def mask(self, condition: str | None) -> Mask | None:
        """Rows that a condition of the database lets through [n]; remembered. None for all."""
        if condition is None:
            return None
        known = self._masks.get(condition)
        if known is None:
            with self._index.reading():
                query = self._index.table.search().where(condition).select(["picture_id"])
                names = query.limit(None).to_arrow()["picture_id"].to_pylist()
            known = np.zeros(len(self._names), dtype=bool)
            known[[self._places[name] for name in names]] = True
            self._masks[condition] = known
            while len(self._masks) > _MASKS:
                self._masks.popitem(last=False)
        return known

    def distances(self, vectors: Sequence[Float32]) -> Float32:
        """By what vectors [D] are nearest, as the database has it, less a number for each query: [Q,n]."""
        manifest = self._index.manifest
        queries = [to_query(np.asarray(one), manifest.stored_size, manifest.largest_norm) for one in vectors]
        rounded = np.stack(queries).astype(np.float16).astype(np.float32)  # as the database compares float16
        found: Float32 = self._squares - 2 * (rounded @ self._stored.T)
        return found

    def nearest(self, distances: Float32, vector: Float32, k: int, mask: Mask | None) -> list[int]:
        """Rows of the ``k`` nearest products, each by its best image, as
        :meth:`~interbert.search.index.ProductIndex.vector_search` has them.

        Args:
            distances: [n], a row of :meth:`distances`.
            vector: [D] of the query.
            k: how many.
            mask: [n] of :meth:`mask`.
        """
        if mask is not None:
            distances = np.where(mask, distances, np.float32(np.inf))
        matching = len(distances) if mask is None else int(mask.sum())
        wanted = min(k, matching)
        while True:
            rows = self._smallest(distances, wanted)
            scores = self.vectors(rows) @ np.asarray(vector, dtype=np.float32)
            best: dict[str, int] = {}
            for place in sorted(range(len(rows)), key=lambda place: (-float(scores[place]), self._names[rows[place]])):
                best.setdefault(self._products[rows[place]], rows[place])
            if len(best) >= k or wanted >= matching:
                return list(best.values())[:k]
            wanted = min(2 * wanted, matching)

    def _smallest(self, distances: Float32, count: int) -> list[int]:
        if not count:
            return []
        bound = np.partition(distances, count - 1)[count - 1]
        rows = np.flatnonzero(distances <= bound).tolist()
        return sorted(rows, key=lambda row: (float(distances[row]), self._names[row]))[:count]

    def vectors(self, rows: Sequence[int]) -> Float32:
        """Vectors [len(rows),D] as the model made them."""
        return from_stored(self._stored[list(rows)], self._index.manifest.vector_size)

    def places(self, names: Sequence[str]) -> list[int]:
        """Rows of images by id."""
        return [self._places[name] for name in names]

    def hits(self, rows: Sequence[int], tokens: bool) -> dict[int, Hit]:
        """Rows as hits with score 0, with or without embedded tokens."""
        unique = list(dict.fromkeys(rows))
        if not unique:
            return {}
        found = self._rows.take(unique)
        found = found if tokens else found.drop_columns(["regions"])
        return dict(zip(unique, self._index.hits_of(found, self.vectors(unique), [0.0] * len(unique)), strict=True))
