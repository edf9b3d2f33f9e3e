"""Stage 3: rows whose image and title disagree, by a model.

Shapes: N rows of the source.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from interbert.curation.agreement import RULES, agreeing_rows
from interbert.curation.duplicates import has_image
from interbert.curation.judged_rows import ArrowTexts, JudgedRows
from interbert.curation.reasons import Reason
from interbert.curation.recipe import DatasetRecipe


@dataclass(frozen=True)
class _RowPairs:
    """Images and titles of some rows."""

    rows: NDArray[np.int64]
    titles: ArrowTexts
    load: Callable[[int], bytes]

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, row: int, /) -> tuple[bytes, str]:
        return self.load(int(self.rows[row])), self.titles[row]


def disagreeing_rows(
    judged: JudgedRows,
    rows: NDArray[np.int64],
    groups: NDArray[np.int64],
    recipe: DatasetRecipe,
    load: Callable[[int], bytes],
    folder: Path,
) -> dict[int, Reason]:
    """Rows whose image and title disagree, with what is known of why.

    Args:
        judged: all rows.
        rows: [n] those that are looked at; those without an image are passed over.
        groups: [N] of all rows.
        recipe: names the model.
        load: the file of a row's image.
        folder: for the vectors, which a killed build keeps.

    Raises:
        CheckpointError: there is no retrieval model, or it has no vectors.
    """
    from interbert.curation.encoding import encode_pairs  # torch

    assert recipe.model is not None
    own = rows[has_image(judged, rows)]
    vectors = encode_pairs(_RowPairs(own, judged.titles.take(own), load), recipe.model, folder)
    categories = list(judged.texts("category").take(own))
    found = agreeing_rows(vectors.text, vectors.image, recipe.agreement, categories, groups[own])
    rule = RULES[recipe.agreement.method]
    return {
        int(own[place]): Reason(rule, vectors.problems.get(place, "")) for place in np.flatnonzero(~found.keep).tolist()
    }
