"""Rows that belong together because they share a key."""

from __future__ import annotations

from collections.abc import Hashable, Iterable

import numpy as np
from numpy.typing import NDArray


class Groups:
    """Collects the keys of rows, eight bytes each, and joins the rows at the end."""

    def __init__(self) -> None:
        self._rows: list[int] = []
        self._keys: list[int] = []
        self._parts: list[tuple[NDArray[np.int64], NDArray[np.int64]]] = []
        self._count = 0

    def add(self, keys: Iterable[Hashable]) -> None:
        """The next row's keys; two keys are taken to be equal when their 64-bit hashes are."""
        for key in keys:
            self._rows.append(self._count)
            self._keys.append(hash(key))
        self._count += 1
        if len(self._rows) >= 100_000:
            self._pack()

    def _pack(self) -> None:
        self._parts.append((np.array(self._rows, dtype=np.int64), np.array(self._keys, dtype=np.int64)))
        self._rows, self._keys = [], []

    def joined(self) -> NDArray[np.int64]:
        """Group of each row: the first row that it is linked to, over any number of shared keys."""
        from scipy.sparse import coo_matrix
        from scipy.sparse.csgraph import connected_components

        self._pack()
        rows, keys = (np.concatenate(part) for part in zip(*self._parts, strict=True))
        known, codes = np.unique(keys, return_inverse=True)
        size = self._count + len(known)
        links = coo_matrix((np.ones(len(rows), dtype=np.int8), (rows, self._count + codes)), shape=(size, size))
        _, label = connected_components(links, directed=False)
        label = label[: self._count]
        first = np.full(label.max(initial=-1) + 1, self._count, dtype=np.int64)
        np.minimum.at(first, label, np.arange(self._count))
        found: NDArray[np.int64] = first[label]
        return found


def joined(keys: Iterable[Iterable[Hashable]]) -> list[int]:
    """Group of each row: the first row that it is linked to.

    Example::

        joined([["a", "x"], ["b"], ["x", "b"], ["c"]]) == [0, 0, 0, 3]
    """
    groups = Groups()
    for members in keys:
        groups.add(members)
    return [int(group) for group in groups.joined()]
