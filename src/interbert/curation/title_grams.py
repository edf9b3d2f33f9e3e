"""Sets of character n-grams of titles as integers, and the exact Jaccard index of two of them."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

MAX_CHARACTERS = 3
"""Characters of an n-gram: a code point has 21 bits, so that three of them are one exact 64-bit integer."""

_BITS = np.uint64(21)
_PADDING = (np.uint64(2**64 - 1), np.uint64(2**64 - 2))  # no n-gram: these have 63 bits at most
_CELLS = 1 << 21  # 8-byte n-grams that are compared at once


class GramSets(NamedTuple):
    """The sets of n-grams of N titles, one after the other."""

    codes: NDArray[np.uint64]
    """[sum of sizes]: the n-grams of each title, ascending, each once."""
    sizes: NDArray[np.int64]
    """[N]: different n-grams of each title."""


def gram_sets(titles: Sequence[str], characters: int) -> GramSets:
    """Sets of n-grams of titles in ascending order of length, none shorter than ``characters``."""
    codes, sizes = [np.empty(0, np.uint64)], [np.empty(0, np.int64)]
    for length, alike in groupby(titles, len):  # titles of one length are a matrix
        text = "".join(alike).encode("utf-32-le", "surrogatepass")
        points = np.frombuffer(text, "<u4").astype(np.uint64).reshape(-1, length)
        grams = points[:, : length - characters + 1]
        for place in range(1, characters):
            grams = (grams << _BITS) | points[:, place : length - characters + 1 + place]
        grams = np.sort(grams, axis=1)
        once = np.ones(grams.shape, bool)
        np.not_equal(grams[:, 1:], grams[:, :-1], out=once[:, 1:])
        codes.append(grams[once])
        sizes.append(once.sum(axis=1, dtype=np.int64))
    return GramSets(np.concatenate(codes), np.concatenate(sizes))


def jaccard(
    titles: Sequence[str], left: NDArray[np.int64], right: NDArray[np.int64], characters: int
) -> NDArray[np.float64]:
    """Exact Jaccard index of the n-gram sets of ``titles[left]`` and ``titles[right]``.

    Args:
        titles: in ascending order of length, those that are asked for none shorter than ``characters``.
        left: [P] indices into ``titles``.
        right: [P] indices into ``titles``, each at least as large as its left.
        characters: of an n-gram.

    Returns:
        [P] shared n-grams divided by different n-grams of both.
    """
    found = np.empty(len(left))
    longest_first = np.argsort(-right, kind="stable")
    start = 0
    while start < len(left):
        # a title of at most as many characters as the longest, which is the first, and two titles in a pair
        count = max(1, _CELLS // (2 * len(titles[right[longest_first[start]]])))
        chunk = longest_first[start : start + count]
        found[chunk] = _jaccard_of_few(titles, left[chunk], right[chunk], characters)
        start += count
    return found


def _jaccard_of_few(
    titles: Sequence[str], left: NDArray[np.int64], right: NDArray[np.int64], characters: int
) -> NDArray[np.float64]:
    rows, places = np.unique(np.concatenate([left, right]), return_inverse=True)
    codes, sizes = gram_sets([titles[row] for row in rows.tolist()], characters)
    filled = np.arange(sizes.max()) < sizes[:, None]
    sides = []
    for padding, side in zip(_PADDING, np.split(places, 2), strict=True):
        matrix = np.full(filled.shape, padding)
        matrix[filled] = codes
        sides.append(matrix[side])
    both = np.sort(np.concatenate(sides, axis=1), axis=1)
    shared = ((both[:, 1:] == both[:, :-1]) & (both[:, 1:] < _PADDING[1])).sum(axis=1)
    left_sizes, right_sizes = np.split(sizes[places], 2)
    return np.asarray(shared / (left_sizes + right_sizes - shared))
