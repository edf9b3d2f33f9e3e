"""Which rows train, validate and test: by group, by a hash that stays when rows are added, and by category."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import blake2b

import numpy as np
from numpy.typing import NDArray

from interbert.errors import ConfigError

SPLITS = ("train", "validation", "test")
"""Names of the splits; ``split_groups`` returns indices into them."""


@dataclass(frozen=True)
class SplitOptions:
    """Shares of the groups, and what stays the same."""

    train: float = 0.9
    """Share of the groups that train."""
    validation: float = 0.05
    """Share of the groups that validate."""
    test: float = 0.05
    """Share of the groups that test."""
    seed: int = 0
    """Key of the hash; another seed is another division."""
    stratify_by: str | None = None
    """Column of the category."""
    frozen: bool = True
    """True: no added row moves another group, and a category has its shares as a random draw has them. False: each
    category has its shares to within one group, and added rows move the few groups next to a border."""

    def __post_init__(self) -> None:
        shares = {name: getattr(self, name) for name in SPLITS}
        for name, share in shares.items():
            if not 0 <= share <= 1:
                raise ConfigError(f"{name}: {share}, must be a share from 0 to 1")
        if abs(sum(shares.values()) - 1) > 1e-6:
            raise ConfigError(f"train, validation and test: their sum is {sum(shares.values()):g}, must be 1")
        if not 0 <= self.seed < 2**64:
            raise ConfigError(f"seed: {self.seed}, must be from 0 to 2^64 - 1")


def split_groups(
    groups: NDArray[np.int64], keys: Sequence[str], categories: Sequence[str] | None, options: SplitOptions
) -> NDArray[np.int8]:
    """Split of each row, the same for all rows of a group.

    A group's place between 0 and 1 is a hash of the key of its smallest row alone: the lowest places test, the next
    validate, the others train. So a larger share of test keeps the rows that were there before. A row that joins two
    groups makes them one, which is where the smaller row was. A group of several categories counts as its smallest
    row's; the category decides nothing while ``options.frozen``, since a place that depends on how many others a
    category has moves when it gets more.

    Args:
        groups: [N] the smallest row of the group of each row.
        keys: [N] id of each row.
        categories: [N] category of each row, or None for one category.
        options: shares, seed and whether added rows may move others.

    Returns:
        [N] int8 index into ``SPLITS``.
    """
    first, group = np.unique(groups, return_inverse=True)
    places = np.fromiter((_place(keys[row], options.seed) for row in first.tolist()), np.float64, len(first))
    if options.frozen:
        split = np.searchsorted(_borders(options), places, side="right")
    else:
        names = [categories[row] if categories is not None else "" for row in first.tolist()]
        split = _by_rank(places, np.unique(names, return_inverse=True)[1], options)
    return (len(SPLITS) - 1 - split).astype(np.int8)[group]


def category_counts(
    groups: NDArray[np.int64], splits: NDArray[np.int8], categories: Sequence[str]
) -> dict[str, tuple[int, ...]]:
    """Groups of each category in each of ``SPLITS``; a group is of the category of its smallest row."""
    counts: dict[str, list[int]] = {}
    for row in np.unique(groups).tolist():
        counts.setdefault(categories[row], [0] * len(SPLITS))[splits[row]] += 1
    return {category: tuple(counts[category]) for category in sorted(counts)}


def _place(key: str, seed: int) -> float:
    digest = blake2b(key.encode("utf-8", "surrogatepass"), digest_size=6, key=seed.to_bytes(8, "little")).digest()
    return int.from_bytes(digest, "little") / 2**48


def _borders(options: SplitOptions) -> NDArray[np.float64]:
    # a share of 0 leaves nothing: 0.7 + 0.3 may be a little less than 1
    return np.array([options.test, 1.0 if options.train == 0 else options.test + options.validation])


def _by_rank(places: NDArray[np.float64], category: NDArray[np.intp], options: SplitOptions) -> NDArray[np.intp]:
    """0 test, 1 validation, 2 train, for groups [G] by their rank in their category."""
    order = np.lexsort((places, category))
    sizes = np.bincount(category)
    rank = np.empty(len(places), np.int64)
    rank[order] = np.arange(len(places)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    last = np.floor(np.outer(sizes, _borders(options)) + 0.5)
    return np.asarray((rank[:, None] >= last[category]).sum(axis=1))
