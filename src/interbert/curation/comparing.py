"""Stages 2 to 5: rows are compared with each other and with evaluation sets; every result is kept as a file.

Shapes: N rows of the source.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from interbert.curation import duplicates
from interbert.curation.agreeing import disagreeing_rows
from interbert.curation.duplicates import NEAR_DUPLICATE, NEAR_IMAGE, NEAR_TITLE, PLACEHOLDER, SAME_PRODUCT
from interbert.curation.excluding import excluded_rows, loader, read_excluded
from interbert.curation.groups import group_rows
from interbert.curation.judged_rows import JudgedRows
from interbert.curation.leaks import EvaluationSets
from interbert.curation.progress import BuildProgress
from interbert.curation.reasons import Reason
from interbert.curation.recipe import DatasetRecipe
from interbert.curation.reporting import LATE_RULES, LateDrops
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
    problems: list[str]
    """Images of evaluation sets that could not be read."""


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
        judged, recipe = self.judged, self.recipe
        sets = read_excluded(recipe) if recipe.exclude else EvaluationSets()
        near_images = self._near_images(sets)
        late = self._repeats(near_images[(near_images < judged.count).all(axis=1)])
        compared = np.flatnonzero(judged.kept & (late.rule != LATE_RULES.index(PLACEHOLDER)))
        pairs = self._pairs(compared, near_images, sets)
        groups = group_rows(judged.count, *(_among(found, compared, judged.count) for found in pairs.values()))
        if recipe.exclude:
            titles = np.concatenate((pairs[NEAR_TITLE], pairs[duplicates.SAME_TITLE]))
            images = np.concatenate((pairs[NEAR_IMAGE], pairs[duplicates.SAME_IMAGE]))
            found = self._kept("leaks", lambda: excluded_rows(judged, compared, sets, titles, images))
            late.drop_for({row: reason for row, reason in found.items() if late.rule[row] < 0})
        if recipe.model is not None:
            folder, left = self.progress.folder / "vectors", self._left(late)
            late.drop_for(
                self._kept("agreement", lambda: disagreeing_rows(judged, left, groups, recipe, self.load, folder))
            )
        if recipe.drop_near_duplicates:
            self._drop_near(late, groups)
        kept = self._left(late)
        splits = self.progress.array("splits", lambda: self._splits(groups, kept))
        joined = {name: len(np.unique(_among(found, kept, judged.count))) for name, found in pairs.items()}
        return ComparedRows(late, groups, splits, joined, sets.problems)

    def _left(self, late: LateDrops) -> NDArray[np.int64]:
        """Rows that nothing has dropped."""
        return np.flatnonzero(self.judged.kept & (late.rule < 0))

    def _kept(self, name: str, make: Callable[[], dict[int, Reason]]) -> dict[int, Reason]:
        """Reasons of rows, kept as a file."""
        found = self.progress.json(name, lambda: [[row, *reason] for row, reason in make().items()])
        return {row: Reason(rule, detail) for row, rule, detail in found}

    def _drop_near(self, late: LateDrops, groups: NDArray[np.int64]) -> None:
        """Of each group drop all but the first row that is left."""
        rows = self._left(late)
        _, first, place = np.unique(groups[rows], return_index=True, return_inverse=True)
        repeats = rows[first[place]] != rows
        late.drop(NEAR_DUPLICATE, rows[repeats], rows[first[place]][repeats])

    def _repeats(self, near_images: Pairs) -> LateDrops:
        """Placeholders, and rows that are there already."""

        def make() -> NDArray[np.int64]:
            late = LateDrops.none(self.judged.count)
            rows = self._left(late)
            late.drop(PLACEHOLDER, duplicates.placeholders(self.judged, rows, near_images, self.recipe))
            for found in duplicates.repeated_rows(self.judged, self._left(late), self.recipe):
                late.drop(found.rule, found.rows, found.first)
            return np.stack((late.rule.astype(np.int64), late.other))

        rule, other = self.progress.array("repeats", make)
        return LateDrops(rule.astype(np.int8), other.copy())

    def _near_images(self, sets: EvaluationSets) -> Pairs:
        """Pairs of all rows whose images are nearly the same, and of what the sets hold, which follows all rows."""
        judged, recipe = self.judged, self.recipe
        rows, load = np.flatnonzero(judged.kept), loader(judged, self.load, sets)
        return self.progress.array(NEAR_IMAGE, lambda: duplicates.near_images(judged, rows, recipe, load, sets.hashes))

    def _pairs(self, rows: NDArray[np.int64], near_images: Pairs, sets: EvaluationSets) -> dict[str, Pairs]:
        """Pairs of rows that are of one group, by what joins them.

        Rows that repeat others are among them: what joins two others may be one of those.
        """
        judged, recipe = self.judged, self.recipe
        return {
            NEAR_TITLE: self.progress.array(
                NEAR_TITLE, lambda: duplicates.near_titles(judged, rows, recipe, sets.texts)
            ),
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


def _among(pairs: Pairs, rows: NDArray[np.int64], count: int) -> Pairs:
    """Those pairs whose rows are both among some of all."""
    there = np.zeros(max(count, int(pairs.max(initial=-1)) + 1), dtype=bool)
    there[rows] = True
    return pairs[there[pairs].all(axis=1)]
