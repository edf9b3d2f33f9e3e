"""Titles that say the same in almost the same characters: pairs by the Jaccard index of their character n-grams."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from interbert.curation.groups import group_rows
from interbert.curation.set_join import (
    PARTS,
    Limits,
    PartKeys,
    candidate_pairs,
    hashed,
    limits_of,
    most_unlike,
    parity_sketches,
    part_keys,
)
from interbert.curation.title_grams import MAX_CHARACTERS, gram_sets, jaccard
from interbert.errors import ConfigError

Int64s = NDArray[np.int64]

_CHUNK = 1 << 15  # titles whose n-grams are in memory at once


@dataclass(frozen=True)
class NearTitleOptions:
    """What makes two titles near-duplicates."""

    jaccard: float = 0.8
    """Smallest Jaccard index of the sets of character n-grams, from 0.5 to 1."""
    characters: int = 2
    """Characters of an n-gram, 1 to 3."""
    window: int = 64
    """Titles that share the n-grams of a part are all compared with each other up to this number; of more, each with
    so many neighbours."""
    seed: int = 0
    """Of the hash that divides the n-grams into parts."""

    def __post_init__(self) -> None:
        if not 0.5 <= self.jaccard <= 1:
            raise ConfigError(f"jaccard: {self.jaccard}, must be from 0.5 to 1")
        if not 1 <= self.characters <= MAX_CHARACTERS:
            raise ConfigError(f"characters: {self.characters}, must be from 1 to {MAX_CHARACTERS}")
        if self.window < 2:
            raise ConfigError(f"window: {self.window}, must be at least 2")
        if self.seed < 0:
            raise ConfigError(f"seed: {self.seed}, must not be negative")


def near_title_pairs(
    titles: Sequence[str], options: NearTitleOptions, progress: Callable[[int, int], None] | None = None
) -> Int64s:
    """Pairs of rows with equal titles or with near-duplicates, enough of them to connect every cluster.

    A pair is left out where the others connect its two rows already, so that a cluster of thousands has thousands of
    pairs and not millions. A cluster is a connected component: of a title a that is near b, and b near c, all three
    are one, even if a and c have a smaller Jaccard index than ``options.jaccard``. Titles without any character are
    equal to nothing; one that is shorter than an n-gram only to the same title.

    Args:
        titles: [N] clean titles.
        options: the threshold and what is compared.
        progress: is called with the steps done and the steps there are.

    Returns:
        [P, 2] int64, row < other row, ascending, each once. Every pair of them was verified: titles are equal, or the
        exact Jaccard index of their n-gram sets is at least the threshold.
    """
    first = _first_equal(titles)
    other = np.flatnonzero(first != np.arange(len(titles)))
    lengths = np.fromiter(map(len, titles), np.int64, len(titles))
    other = other[lengths[other] > 0]
    equal = np.stack([first[other], other], axis=1)
    distinct = np.flatnonzero((first == np.arange(len(titles))) & (lengths >= options.characters))
    rows = distinct[np.argsort(lengths[distinct], kind="stable")]
    near = rows[_near_pairs([titles[row] for row in rows.tolist()], options, progress or _no_progress)]
    pairs = np.concatenate([equal, np.sort(near, axis=1)])
    return np.asarray(pairs[np.lexsort(pairs.T[::-1])])


def _no_progress(done: int, steps: int) -> None:
    pass


def _first_equal(titles: Sequence[str]) -> Int64s:
    """The first row [N] with the title of each."""
    first = dict(zip(reversed(titles), range(len(titles) - 1, -1, -1), strict=True))  # the last one written stays
    return np.fromiter(map(first.__getitem__, titles), np.int64, len(titles))


def _near_pairs(titles: list[str], options: NearTitleOptions, progress: Callable[[int, int], None]) -> Int64s:
    """Pairs [P, 2] of different titles, which are in ascending order of length."""
    if not titles:
        return np.empty((0, 2), np.int64)
    limits = limits_of(options.jaccard, len(titles[-1]))
    sizes, sketches, keys = _read_titles(titles, limits, options)
    links = _Links(titles, sizes, sketches, limits, options)
    for done, index in enumerate(sorted(keys)):
        progress(done, len(PARTS))
        links.join(index, keys.pop(index))
    progress(len(PARTS), len(PARTS))
    return links.pairs()


def _read_titles(
    titles: list[str], limits: Limits, options: NearTitleOptions
) -> tuple[Int64s, NDArray[np.uint64], dict[int, PartKeys]]:
    """Sizes [N], sketches [N] and keys by number of parts of the sets of n-grams, which are not kept themselves."""
    sizes, sketches = np.empty(len(titles), np.int64), np.empty(len(titles), np.uint64)
    chunks: dict[int, list[PartKeys]] = {}
    for start in range(0, len(titles), _CHUNK):
        grams = gram_sets(titles[start : start + _CHUNK], options.characters)
        hashes = hashed(grams.codes, options.seed)
        sizes[start : start + _CHUNK] = grams.sizes
        sketches[start : start + _CHUNK] = parity_sketches(hashes, grams.sizes)
        for index, found in part_keys(hashes, grams.sizes, limits).items():
            chunks.setdefault(index, []).append(PartKeys(found.rows + start, found.keys))
    joined = {}
    for index in sorted(chunks):  # one after the other, so that only one number of parts is in memory twice
        rows, keys = zip(*chunks.pop(index), strict=True)
        joined[index] = PartKeys(np.concatenate(rows), np.concatenate(keys))
    return sizes, sketches, joined


class _Links:
    """Verified pairs, and the components that they make so far."""

    def __init__(
        self,
        titles: list[str],
        sizes: Int64s,
        sketches: NDArray[np.uint64],
        limits: Limits,
        options: NearTitleOptions,
    ) -> None:
        self._titles = titles
        self._sizes = sizes
        self._sketches = sketches
        self._limits = limits
        self._options = options
        self._component = np.arange(len(titles))
        self._found = [np.empty((0, 2), np.int64)]

    def join(self, index: int, keys: PartKeys) -> None:
        """Add the pairs that are compared by ``PARTS[index]`` parts."""
        unlike = most_unlike(self._limits, index)
        for left, right in candidate_pairs(keys, self._sketches, unlike, self._options.window):
            wanted = self._wanted(index, left, right)
            self._verify(left[wanted], right[wanted])

    def pairs(self) -> Int64s:
        """All pairs [P, 2] so far."""
        return np.concatenate(self._found)

    def _wanted(self, index: int, left: Int64s, right: Int64s) -> NDArray[np.bool_]:
        together = self._sizes[left] + self._sizes[right]
        unlike = np.bitwise_count(self._sketches[left] ^ self._sketches[right])
        return np.asarray(
            (unlike <= self._limits.differences[together])
            & (self._limits.parts[together] == index)
            & (self._component[left] != self._component[right])
        )

    def _verify(self, left: Int64s, right: Int64s) -> None:
        near = jaccard(self._titles, left, right, self._options.characters) >= self._options.jaccard
        if near.any():
            pairs = np.stack([left[near], right[near]], axis=1)
            self._found.append(pairs)
            self._component = self._joined(self._component[pairs])

    def _joined(self, pairs: Int64s) -> Int64s:
        """The components with these pairs of components as one."""
        old, places = np.unique(pairs, return_inverse=True)
        new = np.arange(len(self._component))
        new[old] = old[group_rows(len(old), places.reshape(-1, 2))]
        return new[self._component]
