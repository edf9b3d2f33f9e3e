"""Whether two decoded images are one photo: the same but for compression, size and a crop of a few edge pixels.

The same product in another colour is another image, and so is a photo of another product of the same kind. What crop
and scale moved is taken out first, by the linear part of Lucas and Kanade 1981 ("An iterative image registration
technique"): shift and scale in both directions. What is left is compared in brightness, in colour, and in the finer
structure.

Shapes: P pairs, S = 32 pixels per side, C = 3 (YCbCr).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from interbert.extraction.images import load_image_file

SIDE = 32
MOST_BRIGHTNESS = 9.0
"""Grey levels by which the mean of 3 x 3 pixels (of 32 x 32) may differ."""
MOST_COLOUR = 2.5
"""The same for Cb and Cr, of images that lost nothing to compression."""
COLOUR_PER_STEP = 0.45
"""By how much more for each step of the coarser JPEG's quantisation of mean colours."""
LEAST_STRUCTURE = 0.95
"""Likeness of what remains without means of 5 x 5 pixels, 1 for equal images."""

_FLAT = 50.0
"""Sum of squares of fine structure that is noise, added so that flat images are not divided by nothing."""
_MOST_MOVED = 1.5
"""Pixels of 32 that an edge may have moved: the linear part holds no further."""
_UNKNOWN_STEP = 9
"""Of other lossy formats, whose files do not say it: that of a JPEG at quality 75."""
_LOSSY = frozenset({"WEBP", "AVIF", "JPEG2000"})


class SmallImage(NamedTuple):
    """What two images are compared by."""

    pixels: NDArray[np.uint8]
    """[S, S, C]."""
    step: int
    """Grey levels of a step of its quantisation of mean colours; 0 where nothing was lost."""


def small_image(data: bytes) -> SmallImage:
    """An image's file, decoded and made small.

    Raises:
        ImageError: it cannot be decoded.
    """
    from PIL import Image

    file = load_image_file(data, "", target_side=2 * SIDE)
    small = file.image.convert("YCbCr").resize((SIDE, SIDE), Image.Resampling.BILINEAR)
    tables = list(file.tables.values())
    # 64 steps, of which the first is that of the mean of a block; an eighth of it is in grey levels
    step = tables[1][0] if len(tables) > 1 else _UNKNOWN_STEP if file.format in _LOSSY else 0
    return SmallImage(np.asarray(small), step)


def same_photo(one: NDArray[np.uint8], other: NDArray[np.uint8], steps: NDArray[np.int64]) -> NDArray[np.bool_]:
    """[P]: whether two images are one photo.

    Args:
        one: [P, S, S, C].
        other: [P, S, S, C].
        steps: [P], the coarser quantisation of the two.
    """
    from scipy.ndimage import uniform_filter

    first, second = one.astype(np.float32), other.astype(np.float32)
    left, moved = _unmoved(first, second)
    means = np.abs(uniform_filter(left, (1, 3, 3, 1))).max(axis=(1, 2))
    fine = [_fine(values[..., 0]) for values in (first, second, left)]
    energy = [(values**2).sum(axis=(1, 2)) for values in fine]
    structure = 1 - energy[2] / ((energy[0] + energy[1]) / 2 + _FLAT)
    same: NDArray[np.bool_] = (
        (means[:, 0] <= MOST_BRIGHTNESS)
        & (means[:, 1:].max(axis=1) <= MOST_COLOUR + COLOUR_PER_STEP * steps)
        & (structure >= LEAST_STRUCTURE)
        & (moved <= _MOST_MOVED)
    )
    return same


def _unmoved(
    first: NDArray[np.float32], second: NDArray[np.float32]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """The difference [P, S, S, C] without what shift and scale explain, and [P], by how many pixels they shift it."""
    number = len(first)
    difference = second - first
    down, across = np.gradient((first + second) / 2, axis=(1, 2))
    at = np.linspace(-1, 1, SIDE, dtype=np.float32)
    moves = np.stack((across, down, across * at[:, None], down * at[:, None, None]), axis=-1).reshape(number, -1, 4)
    normal = np.swapaxes(moves, 1, 2) @ moves + 10 * np.eye(4, dtype=np.float32)
    by = np.linalg.solve(normal, np.swapaxes(moves, 1, 2) @ difference.reshape(number, -1, 1))
    explained: NDArray[np.float32] = (moves @ by).reshape(difference.shape)
    return difference - explained, np.abs(by[..., 0]).max(axis=1)


def _fine(brightness: NDArray[np.float32]) -> NDArray[np.float32]:
    from scipy.ndimage import uniform_filter

    fine: NDArray[np.float32] = brightness - uniform_filter(brightness, (0, 5, 5))
    return fine
