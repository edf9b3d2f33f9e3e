"""Hashes that differ in few bits, found in time that grows with the rows: never all pairs, however alike the rows are.

Charikar 2002, "Similarity estimation techniques from rounding algorithms": rows are sorted by their bits in several
random orders, and each is compared with the few that follow it. Two hashes that differ in few bits share a long
beginning in some order. There are no buckets, so that thousands of equal hashes cost no more than others.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from interbert.curation.image_hashes import mirrored

_KEY_BITS = 64
_ROWS_AT_ONCE = 1 << 15


def close_hashes(
    hashes: NDArray[np.uint8], distance: int, orders: int, neighbours: int, with_mirrored: bool, seed: int
) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Pairs of rows whose hashes differ in few bits, closest first.

    Args:
        hashes: [N, B] perceptual hashes.
        distance: bits that may differ.
        orders: in which rows are sorted.
        neighbours: that follow a row and are compared with it in each order; as many pairs stay of each row.
        with_mirrored: compare with mirrored rows too.
        seed: of the orders.

    Returns:
        Pairs [P, 2], row < other row, and [P], whether the one is the other mirrored.
    """
    number = len(hashes)
    both = np.concatenate((hashes, mirrored(hashes))) if with_mirrored else hashes
    words = np.ascontiguousarray(both).view(np.uint64)
    draws = np.random.default_rng(seed)
    found = np.empty(0, np.int64)
    for _ in range(orders):
        bits = draws.permutation(hashes.shape[1] * 8)[:_KEY_BITS]
        found = np.union1d(found, _among_neighbours(words, _keys(both, bits), number, distance, neighbours))
    pairs, flipped = _decoded(found, number)
    distances = np.bitwise_count(words[pairs[:, 0]] ^ words[pairs[:, 1] + number * flipped]).sum(axis=1, dtype=np.int64)
    kept = _closest(pairs, distances, neighbours)
    kept = kept[np.argsort(distances[kept], kind="stable")]
    return pairs[kept], flipped[kept]


def _keys(hashes: NDArray[np.uint8], bits: NDArray[np.int64]) -> NDArray[np.uint64]:
    """[N]: some bits of each row, in the order given."""
    keys = np.empty(len(hashes), np.uint64)
    for start in range(0, len(hashes), _ROWS_AT_ONCE):
        chosen = np.unpackbits(hashes[start : start + _ROWS_AT_ONCE], axis=1)[:, bits]
        packed = np.ascontiguousarray(np.packbits(chosen, axis=1))
        keys[start : start + _ROWS_AT_ONCE] = packed.view(">u8")[:, 0]
    return keys


def _among_neighbours(
    words: NDArray[np.uint64], keys: NDArray[np.uint64], number: int, distance: int, neighbours: int
) -> NDArray[np.int64]:
    """Close pairs among rows that follow each other in the order of their keys, as :func:`_encoded` has them."""
    order = np.argsort(keys, kind="stable")
    found = []
    for start in range(0, len(order) - 1, _ROWS_AT_ONCE):
        rows = order[start : start + _ROWS_AT_ONCE + neighbours]
        block = words[rows]
        for step in range(1, min(neighbours, len(rows) - 1) + 1):
            count = min(_ROWS_AT_ONCE, len(rows) - step)
            differing = np.bitwise_count(block[:count] ^ block[step : step + count]).sum(axis=1, dtype=np.uint16)
            close = np.flatnonzero(differing <= distance)
            found.append(_encoded(rows[close], rows[close + step], number))
    return np.unique(np.concatenate(found)) if found else np.empty(0, np.int64)


def _encoded(one: NDArray[np.int64], other: NDArray[np.int64], number: int) -> NDArray[np.int64]:
    """A pair as one number. Rows from ``number`` on are the mirrored ones; two of them are as alike as they are."""
    flipped = (one >= number) != (other >= number)
    one, other = one % number, other % number
    codes: NDArray[np.int64] = ((np.minimum(one, other) * number + np.maximum(one, other)) * 2 + flipped)[one != other]
    return codes


def _decoded(codes: NDArray[np.int64], number: int) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    return np.stack(np.divmod(codes // 2, max(number, 1)), axis=1), codes % 2 == 1


def _closest(pairs: NDArray[np.int64], distances: NDArray[np.int64], most: int) -> NDArray[np.intp]:
    """Places of the pairs that are among the ``most`` closest of either row."""
    kept = np.zeros(len(pairs), bool)
    for rows in pairs.T:
        order = np.lexsort((distances, rows))
        first = np.searchsorted(rows[order], rows[order])
        kept[order[np.arange(len(order)) - first < most]] = True
    return np.flatnonzero(kept)
