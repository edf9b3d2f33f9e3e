"""Checks of numbers that a model computed."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from interbert.errors import DataError


def require_finite(scores: NDArray[np.float32]) -> NDArray[np.float32]:
    """Scores as they are.

    Raises:
        DataError: one is NaN or infinite.
    """
    if not np.isfinite(scores).all():
        raise DataError("a score is NaN or infinite: the model is damaged or its training diverged.")
    return scores
