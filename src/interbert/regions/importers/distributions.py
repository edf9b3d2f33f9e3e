"""Class distributions where a file has less: a class with its confidence, or a class alone (SPEC part 2)."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from interbert.errors import RegionError
from interbert.regions.importers.rows import require_numbers

VISUAL_GENOME_CLASSES = 1601
"""1,600 object classes and background, which is class 0 and which detectors' top ids leave out."""


def spread(
    ids: NDArray[Any], confidences: NDArray[Any] | None, num_classes: int, where: str, background: bool
) -> NDArray[np.float32]:
    """[N,C]: each region's class has its confidence, the others share the rest evenly; without confidences, one-hot.

    Args:
        ids: [N] class of each region.
        confidences: [N] probability of that class, or None.
        num_classes: C.
        where: the record, for messages.
        background: class 0 is background and ``ids`` do not count it: id k is class k + 1.

    Raises:
        RegionError: an id is no class, or a confidence no probability.
    """
    require_numbers(len(ids) * num_classes, where)
    classes = ids.astype(np.int64) + int(background)
    wrong = np.flatnonzero((classes < int(background)) | (classes >= num_classes))
    if len(wrong):
        raise RegionError(
            f"{where}: region {wrong[0]} has class {ids[wrong[0]]}; there are {num_classes - int(background)} classes."
        )
    if confidences is None:
        values = np.zeros((len(classes), num_classes), dtype=np.float32)
        values[np.arange(len(classes)), classes] = 1.0
        return values
    if not np.isfinite(confidences).all() or (confidences < 0).any() or (confidences > 1.0 + 1e-3).any():
        raise RegionError(f"{where}: class confidences are not between 0 and 1.")
    top = np.asarray(confidences, dtype=np.float32).clip(0, 1)
    rest = (1 - top) / max(num_classes - 1, 1)
    values = np.repeat(rest[:, None], num_classes, axis=1)
    values[np.arange(len(classes)), classes] = top
    return values
