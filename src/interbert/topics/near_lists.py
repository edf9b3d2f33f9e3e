"""The images nearest to a topic's queries: found by searching, then kept right by what changed of the index.

A list has more images than a page is chosen from, and a reach: no image that is nearer than that is missing. Images
that come are compared with the reach, those that go leave the list, and nobody has to search again until the reach is
nearer than the last image that is needed. Distances are computed here from the numbers that the index stores, so that
they do not depend on which other images are compared.

Shapes: m images of a list, S stored size.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from interbert.search.ann_parameters import EXACT
from interbert.search.index import ProductIndex
from interbert.search.table_rows import read_fragments

Float32 = NDArray[np.float32]
Float64 = NDArray[np.float64]
Numbers = NDArray[np.int64]

FIELDS = ("picture_id", "product_id", "vector")
"""What is read of an image that is found."""
_SPARE, _SPARE_LEAST = 0.25, 20
"""Images of a list beyond those that are needed, as a share of them, and at least."""
_MOST_SPARE = 1.0
"""With more the furthest are left out."""
_NOISE = 2e-5
"""Distances that LanceDB computes in another order differ by less, in shares of the vectors' squared length."""


@dataclass(frozen=True)
class NearList:
    """Images by their distance to a query."""

    numbers: Numbers
    """[m], of their rows (:mod:`interbert.search.table_rows`), nearest first; of equal distances the first number."""
    distances: Float64
    """[m], squared."""
    reach: float
    """No image that is nearer is missing; infinite where none is missing at all."""

    def first(self, count: int) -> Numbers | None:
        """The ``count`` nearest, all that there are where there are fewer; None where one may be missing."""
        if self.reach == math.inf:
            return self.numbers[:count]
        known = len(self.numbers) >= count and self.distances[count - 1] < self.reach
        return self.numbers[:count] if known else None

    def changed(self, stays: NDArray[np.bool_], numbers: Numbers, distances: Float64, count: int) -> NearList:
        """The list after a change of the index.

        Args:
            stays: which images [m] are still there.
            numbers, distances: of new images nearer than the reach.
            count: images that are needed.
        """
        return nearest_of(
            np.concatenate([self.numbers[stays], numbers]),
            np.concatenate([self.distances[stays], distances]),
            self.reach,
            count + math.ceil(_MOST_SPARE * count) + _SPARE_LEAST,
        )


def nearest_of(numbers: Numbers, distances: Float64, reach: float, most: int) -> NearList:
    """A list of the nearest of some images, ``most`` of them."""
    order = np.lexsort((numbers, distances))
    if len(order) > most:
        reach = min(reach, float(distances[order[most]]))
    order = order[:most]
    return NearList(numbers[order], distances[order], reach)


def squared_distances(stored: NDArray[Any], query: Float32) -> Float64:
    """Of stored vectors [n,S] to a query [S], or to one each [n,S]: [n]; none depends on the others."""
    found: Float64 = np.square(stored.astype(np.float64) - query).sum(axis=1)
    return found


def find_near(index: ProductIndex, query: Float32, count: int, condition: str | None) -> tuple[Any, NearList]:
    """Search for the images nearest to a query.

    Args:
        index: at a version, for good.
        query: [S], of :func:`~interbert.search.vectors.to_query`, in numbers that float16 has.
        count: images that are needed.
        condition: the database's, of a filter.

    Returns:
        the images of the list, as an Arrow table of :data:`FIELDS` and ``_rowid``, and the list.

    Raises:
        VectorIndexError: the index is damaged.
    """
    import pyarrow as pa

    matching = index.count(condition)
    if not matching:
        return read_fragments(index, (), FIELDS), NearList(np.empty(0, np.int64), np.empty(0), math.inf)
    chosen = index.thoroughness(matching)
    most = min(count + max(math.ceil(_SPARE * count), _SPARE_LEAST), matching)
    wanted = min(math.ceil(chosen.more * most), matching)
    found = index.nearest_rows(query, wanted, condition, chosen, FIELDS, numbers=True)
    if len(found) < wanted:  # the partitions that it looks into hold no more images
        found = index.nearest_rows(query, wanted, condition, EXACT, FIELDS, numbers=True)
    stored = stored_vectors(found)
    distances = squared_distances(stored, query)
    noise = _NOISE * index.manifest.largest_norm**2
    reach = math.inf if len(found) == matching else float(distances.max()) - noise
    numbers = found["_rowid"].to_numpy().astype(np.int64)
    listed = nearest_of(numbers, distances, reach, most)
    return found.filter(pa.array(np.isin(numbers, listed.numbers))), listed


def stored_vectors(found: Any) -> NDArray[np.float16]:
    """Vectors [n,S] of an Arrow table, as the index stores them."""
    column = found["vector"].combine_chunks()
    flat: NDArray[np.float16] = column.flatten().to_numpy(zero_copy_only=False)
    return flat.reshape(len(column), column.type.list_size)
