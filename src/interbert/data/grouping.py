"""Rows that belong together because they share a key."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence


def joined(keys: Sequence[Iterable[Hashable]]) -> list[int]:
    """Group of each row: the first row that it is linked to, over any number of shared keys.

    Example::

        joined([["a", "x"], ["b"], ["x", "b"], ["c"]]) == [0, 0, 0, 3]
    """
    parent = list(range(len(keys)))

    def root(row: int) -> int:
        while parent[row] != row:
            parent[row] = parent[parent[row]]
            row = parent[row]
        return row

    first: dict[Hashable, int] = {}
    for row, members in enumerate(keys):
        for key in members:
            mine, other = root(row), root(first.setdefault(key, row))
            parent[max(mine, other)] = min(mine, other)
    return [root(row) for row in range(len(keys))]
