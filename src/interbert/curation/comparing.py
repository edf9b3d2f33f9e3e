"""Stages 2 to 5: rows are compared with each other and with evaluation sets; every result is kept as a file.

Shapes: N rows of the source.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from interbert.curation import duplicates
from interbert.curation.duplicates import NEAR_DUPLICATE, NEAR_IMAGE, NEAR_TITLE, PLACEHOLDER, SAME_PRODUCT
from interbert.curation.groups import group_rows
from interbert.curation.judged_rows import JudgedRows
from interbert.curation.progress import BuildProgress
from interbert.curation.recipe import DatasetRecipe
from interbert.curation.reporting import LateDrops
from interbert.curation.shards import NOT_WRITTEN
from interbert.curation.splits import split_groups

Pairs = NDArray[np.int64]


@dataclass(frozen=True)
class ComparedRows:
    """What becomes of each row."""

    late: LateDrops
    groups: NDArray[np.int64]
    """[N] first row of the group of each"""
    splits: NDArray[np.int8]
    """[N] index of its split, :data:`NOT_WRITTEN` for rows that are dropped"""
    joined: dict[str, int]
    """Rows that something joined to another one, by what."""


@dataclass(frozen=True)
class Comparison:
    """Compares the rows that stage 1 kept."""

    progress: BuildProgress
    judged: JudgedRows
    recipe: DatasetRecipe
    has_categories: bool
    load: Callable[[int], bytes]
    """The file of a row's image."""

    def run(self) -> ComparedRows:
        """All of it, but for what is there."""
        late = self._repeats()
        rows = np.flatnonzero(self.judged.kept & (late.rule < 0))
        pairs = self._pairs(rows)
        groups = group_rows(self.judged.count, *pairs.values())
        if self.recipe.drop_near_duplicates:
            late.drop(NEAR_DUPLICATE, (again := rows[groups[rows] != rows]), groups[again])
        kept = np.flatnonzero(self.judged.kept & (late.rule < 0))
        splits = self.progress.array("splits", lambda: self._splits(groups, kept))
        return ComparedRows(late, groups, splits, {name: len(np.unique(found)) for name, found in pairs.items()})

    def _repeats(self) -> LateDrops:
        """Placeholders, and rows that are there already."""

        def make() -> NDArray[np.int64]:
            late = LateDrops.none(self.judged.count)
            rows = np.flatnonzero(self.judged.kept)
            late.drop(PLACEHOLDER, duplicates.placeholders(self.judged, rows, self.recipe))
            rows = rows[late.rule[rows] < 0]
            for found in duplicates.repeated_rows(self.judged, rows, self.recipe):
                late.drop(found.rule, found.rows, found.first)
            return np.stack((late.rule.astype(np.int64), late.other))

        rule, other = self.progress.array("repeats", make)
        return LateDrops(rule.astype(np.int8), other.copy())

    def _pairs(self, rows: NDArray[np.int64]) -> dict[str, Pairs]:
        """Pairs of rows that are of one group, by what joins them."""
        judged, recipe, array = self.judged, self.recipe, self.progress.array
        near_titles = array(NEAR_TITLE, lambda: duplicates.near_titles(judged, rows, recipe))
        near_images = array(NEAR_IMAGE, lambda: duplicates.near_images(judged, rows, recipe, self.load))
        return {
            NEAR_TITLE: near_titles,
            NEAR_IMAGE: near_images,
            duplicates.SAME_TITLE: duplicates.same_titles(judged, rows),
            duplicates.SAME_IMAGE: duplicates.same_images(judged, rows),
            SAME_PRODUCT: duplicates.same_products(judged, rows),
        }

    def _splits(self, groups: NDArray[np.int64], kept: NDArray[np.int64]) -> NDArray[np.int8]:
        """Split of each row that is kept.

        A group is known by the id of its first row, which stays the same when rows are added behind it.
        """
        _, first, place = np.unique(groups[kept], return_index=True, return_inverse=True)
        ids = self.judged.texts("id").take(kept)
        categories = self.judged.texts("category").take(kept) if self.has_categories else None
        found = np.full(self.judged.count, NOT_WRITTEN, dtype=np.int8)
        found[kept] = split_groups(first[place], ids, categories, self.recipe.splits)
        return found
