"""Pairs of sets that may be similar: an exact set-similarity join by partition.

Arasu, Ganti, Kaushik, "Efficient exact set-similarity joins", VLDB 2006 (PartEnum, its first level). Two sets of
together S elements whose Jaccard index is at least t differ in at most d = S (1 - t) / (1 + t) elements. A hash
divides all possible elements into k > d parts: then at least one part has no element in which the two differ, and a key
made of the elements of that part is equal for both. So every similar pair shares a key, where MinHash finds it by
chance, and an element is hashed once instead of once for each permutation.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Int64s = NDArray[np.int64]

PARTS = np.array([1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 12, 14, 16, 20, 24, 28, 32, 40, 48, 64])
"""Numbers of parts that are used: few, since a set has keys for each number that a partner may ask for. Sets that
differ in more elements than the last has parts (Jaccard 0.8: of more than 280 elements) are found by chance."""

_BLOCK = 1 << 17  # pairs that are handed on together


class PartKeys(NamedTuple):
    """Keys of those sets that may have a partner for one number of parts."""

    rows: Int64s
    """[N] which sets, ascending."""
    keys: NDArray[np.uint32]
    """[N, parts]; other elements in a part have another key but for chance, which costs time alone."""


class Limits(NamedTuple):
    """What a threshold of the Jaccard index says about two sets of together S elements, for each S."""

    threshold: float
    differences: Int64s
    """[largest S + 1] elements in which they differ at most."""
    parts: Int64s
    """[largest S + 1] index into ``PARTS`` of the number of parts that they are compared by."""


def limits_of(threshold: float, largest_size: int) -> Limits:
    """Limits for sets of at most ``largest_size`` elements."""
    # a difference too many costs time, and one too few a pair: hence more than what floats lose
    differences = np.arange(2 * largest_size + 1) * ((1 - threshold) / (1 + threshold)) + 1e-6
    parts = np.searchsorted(PARTS, differences.astype(np.int64) + 1)
    return Limits(threshold, differences.astype(np.int64), np.minimum(parts, len(PARTS) - 1))


def most_unlike(limits: Limits, index: int) -> int:
    """Elements in which two sets differ at most that are compared by ``PARTS[index]`` parts."""
    return int(limits.differences[limits.parts == index].max())


def hashed(elements: NDArray[np.uint64], seed: int) -> NDArray[np.uint64]:
    """Hashes whose bits are all independent: the finaliser of splitmix64."""
    mixed = elements + np.uint64((0x9E3779B97F4A7C15 * (seed + 1)) % 2**64)
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return np.asarray(mixed ^ (mixed >> np.uint64(31)))


def parity_sketches(hashes: NDArray[np.uint64], sizes: Int64s) -> NDArray[np.uint64]:
    """64 bits [N] of each set: two sets that differ in d elements differ in d bits at most."""
    if not len(sizes):
        return np.empty(0, np.uint64)
    bits = np.uint64(1) << ((hashes >> np.uint64(32)) & np.uint64(63))
    return np.bitwise_xor.reduceat(bits, np.cumsum(sizes) - sizes)


def part_keys(hashes: NDArray[np.uint64], sizes: Int64s, limits: Limits) -> dict[int, PartKeys]:
    """Keys of N sets for each number of parts that is used, by its index in ``PARTS``.

    Args:
        hashes: [sum of sizes] of the elements of all sets.
        sizes: [N] elements of each set, at least 1.
        limits: for sets of these sizes.
    """
    smallest_partner = np.ceil(sizes * limits.threshold - 1e-6).astype(np.int64)
    largest_partner = np.floor(sizes / limits.threshold + 1e-6).astype(np.int64)
    first = limits.parts[sizes + smallest_partner]
    last = limits.parts[np.minimum(sizes + largest_partner, len(limits.parts) - 1)]
    found = {}
    for index in range(first.min(initial=0), last.max(initial=-1) + 1):
        wanted = (first <= index) & (index <= last)
        if wanted.any():
            rows = np.flatnonzero(wanted)
            keys = _sums_of_parts(hashes[np.repeat(wanted, sizes)], sizes[rows], int(PARTS[index]))
            found[index] = PartKeys(rows, keys)
    return found


def _sums_of_parts(hashes: NDArray[np.uint64], sizes: Int64s, parts: int) -> NDArray[np.uint32]:
    part = ((hashes >> np.uint64(32)) * np.uint64(parts)) >> np.uint64(32)
    cell = np.repeat(np.arange(len(sizes)) * parts, sizes) + part.astype(np.int64)
    sums = np.zeros(len(sizes) * parts, np.uint32)
    np.add.at(sums, cell, hashes.astype(np.uint32))  # the lower half, which says nothing about the part
    return sums.reshape(-1, parts)


def candidate_pairs(
    part_keys: PartKeys, sketches: NDArray[np.uint64], most_unlike: int, window: int
) -> Iterator[tuple[Int64s, Int64s]]:
    """Pairs (left < right) of sets that share a key and have similar sketches, a block for each part or more.

    Sets of one key are in the order of their next part's key. Each is paired with the ``window`` - 1 sets behind it:
    all pairs of keys that at most ``window`` sets share, and no quadratic number of those that many share.

    Args:
        part_keys: of all sets, for one number of parts.
        sketches: [sets] of all sets, from ``parity_sketches``.
        most_unlike: bits in which two sketches may differ.
        window: sets of one key that are all compared with each other, at least 2.
    """
    for part in range(part_keys.keys.shape[1]):
        left, right = [], []
        for one, other in _neighbours(part_keys, part, sketches, most_unlike, window):
            left.append(np.minimum(one, other))
            right.append(np.maximum(one, other))
            if sum(map(len, left)) >= _BLOCK:
                yield np.concatenate(left), np.concatenate(right)
                left, right = [], []
        if left:
            yield np.concatenate(left), np.concatenate(right)


def _neighbours(
    part_keys: PartKeys, part: int, sketches: NDArray[np.uint64], most_unlike: int, window: int
) -> Iterator[tuple[Int64s, Int64s]]:
    own, order = _ordered(part_keys.keys[:, part], part_keys.keys[:, (part + 1) % part_keys.keys.shape[1]])
    as_before = np.zeros(len(own) + 1, bool)
    np.equal(own[1:], own[:-1], out=as_before[1:-1])
    shared = np.flatnonzero(as_before[:-1] | as_before[1:])  # most sets share their key with none
    own, rows = own[shared], part_keys.rows[order[shared]]
    sketches = sketches[rows]
    first = np.arange(len(rows))
    for distance in range(1, window):
        first = first[: np.searchsorted(first, len(rows) - distance)]
        first = first[own[first] == own[first + distance]]
        if not len(first):
            return
        alike = first[np.bitwise_count(sketches[first] ^ sketches[first + distance]) <= most_unlike]
        yield rows[alike], rows[alike + distance]


def _ordered(own: NDArray[np.uint32], following: NDArray[np.uint32]) -> tuple[NDArray[np.uint64], Int64s]:
    """Keys in ascending order, and the order: among equal keys by the next part's, then by place."""
    # all in one integer, the second as far as there is room: sorting integers is many times as fast as finding an order
    bits = np.uint64(len(own).bit_length())
    place = np.arange(len(own), dtype=np.uint64)
    both = (own.astype(np.uint64) << np.uint64(32)) | (following.astype(np.uint64) >> bits << bits) | place
    both.sort()
    return both >> np.uint64(32), (both & ((np.uint64(1) << bits) - np.uint64(1))).astype(np.int64)
