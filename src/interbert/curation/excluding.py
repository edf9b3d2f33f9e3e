"""Stage 4: rows that are in an evaluation set, or near something in one.

Shapes: N rows of the source.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from interbert.curation.duplicates import has_image
from interbert.curation.image_rules import ImageRules
from interbert.curation.judged_rows import JudgedRows
from interbert.curation.leaks import EvaluationSets, leaked_rows, read_evaluation_sets
from interbert.curation.normalise import normalise_title
from interbert.curation.reasons import Reason
from interbert.curation.recipe import DatasetRecipe
from interbert.curation.title_rules import TitleRules

Pairs = NDArray[np.int64]


def read_excluded(recipe: DatasetRecipe) -> EvaluationSets:
    """What the recipe's evaluation sets hold, written as the data set's titles are.

    Raises:
        SourceError: one is missing, or nothing that can be read.
    """
    titles, images = TitleRules(recipe.title_rules), ImageRules(recipe.image_rules)

    def normalise(text: str) -> str:
        return titles.judge(normalise_title(text, recipe.normalise)).title

    def fingerprint(data: bytes) -> tuple[bytes, bytes]:
        judged = images.judge(data)
        return judged.digest, judged.hash if any(judged.hash) else b""

    return read_evaluation_sets(recipe.exclude, normalise, fingerprint)


def excluded_rows(
    judged: JudgedRows, rows: NDArray[np.int64], sets: EvaluationSets, title_pairs: Pairs, image_pairs: Pairs
) -> dict[int, Reason]:
    """Rows that leak, with why.

    Args:
        judged: all rows.
        rows: [n] those that are looked at.
        sets: what to look for.
        title_pairs: [P, 2] near and equal titles of rows, with the sets' texts behind the N rows.
        image_pairs: likewise of images.
    """
    place = np.full(judged.count + max(len(sets.texts), len(sets.hashes)), -1, dtype=np.int64)
    place[rows] = np.arange(len(rows))
    place[judged.count :] = len(rows) + np.arange(len(place) - judged.count)
    there = has_image(judged, rows)
    digests = [row.tobytes() if own else None for row, own in zip(judged.digests[rows], there, strict=True)]
    titles, images = (pairs[(pairs >= 0).all(axis=1)] for pairs in (place[title_pairs], place[image_pairs]))
    found = leaked_rows(list(judged.titles.take(rows)), digests, sets, titles, images)
    return {int(rows[own]): reason for own, reason in found.items()}


def loader(judged: JudgedRows, load: Callable[[int], bytes], sets: EvaluationSets) -> Callable[[int], bytes]:
    """Loads the image of a row, or of a set by its place behind all rows."""
    return lambda place: load(place) if place < judged.count else sets.load(place - judged.count)
