"""Where to look when no detector says so: overlapping windows at several scales."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from interbert.errors import ConfigError

MAX_WINDOWS = 36
"""Regions of a pretraining image (SPEC part 2)."""


def window_fractions(scales: Sequence[int], overlap: float = 0.5) -> NDArray[np.float32]:
    """Windows as fractions of an image, f32 [N,4] (x1, y1, x2, y2), coarse to fine, row by row.

    Scale k lays a k x k grid of windows whose sides are (1 + overlap)/k of the image's (at most all of it), evenly
    spread so that the outer ones touch the edges.

    Raises:
        ConfigError: a scale is below 1, the overlap is outside [0, 1), or there are more than 36 windows.
    """
    if not scales or any(scale < 1 for scale in scales):
        raise ConfigError(f"scales must be whole numbers of at least 1, not {list(scales)}.")
    if not 0 <= overlap < 1:
        raise ConfigError(f"overlap must be at least 0 and below 1, not {overlap}.")
    count = sum(scale * scale for scale in scales)
    if count > MAX_WINDOWS:
        raise ConfigError(f"scales {list(scales)} give {count} windows; at most {MAX_WINDOWS} are allowed.")
    windows = []
    for scale in scales:
        side = min(1.0, (1.0 + overlap) / scale) if scale > 1 else 1.0
        starts = np.linspace(0.0, 1.0 - side, scale) if scale > 1 else np.zeros(1)
        windows += [(x, y, x + side, y + side) for y in starts for x in starts]
    return np.array(windows, dtype=np.float32)
