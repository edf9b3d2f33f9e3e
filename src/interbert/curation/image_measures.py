"""What the rules know of images' pixels, in grey, measured for all images of one size together.

Shapes: N images, H x W pixels.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from interbert.curation.image_hashes import SIDE, hashes_of, low_frequencies

_WHITE = 242
"""Grey levels from this on are white: JPEG makes waves on white around what is not."""
_NEAR = 4
"""Grey levels that count as one, up and down."""
_FILL = 128
"""The grey that a JPEG decoder puts where data is missing."""


class PixelMeasures(NamedTuple):
    """Of one image."""

    hash: bytes
    """Perceptual hash."""
    one_grey: float
    """Share of pixels near the most frequent grey level; 0 where it is surely below what was asked for."""
    white_border: float
    """Share of pixels outside the rectangle that holds all that is not white."""
    missing: float
    """Share of rows at the bottom that are the grey which decoders put where a JPEG's data ends too early."""


def measured(greys: Sequence[NDArray[np.uint8]], one_grey: float) -> list[PixelMeasures]:
    """Measures of images, in their order.

    Args:
        greys: [H, W] each.
        one_grey: share of pixels of one grey below which it need not be known.
    """
    by_shape: defaultdict[tuple[int, ...], list[int]] = defaultdict(list)
    for place, grey in enumerate(greys):
        by_shape[grey.shape].append(place)
    found: dict[int, PixelMeasures] = {}
    for places in by_shape.values():
        stack = np.stack([greys[place] for place in places])
        amplitudes = low_frequencies(stack)
        columns = (
            [row.tobytes() for row in hashes_of(amplitudes)],
            _share_of_one_grey(stack, amplitudes, one_grey).tolist(),
            _white_border(stack).tolist(),
            _missing_rows(stack).tolist(),
        )
        found.update(zip(places, map(PixelMeasures._make, zip(*columns, strict=True)), strict=True))
    return [found[place] for place in range(len(greys))]


def _share_of_one_grey(stack: NDArray[np.uint8], amplitudes: NDArray[np.float32], least: float) -> NDArray[np.float64]:
    """[N]; 0 where the amplitudes say that it is below ``least``."""
    # the sum of squares of what differs from one grey, which no amplitude can exceed: saves counting most images
    most = SIDE**2 * ((1 - least) * 255**2 + _NEAR**2)
    highest = np.abs(amplitudes.reshape(len(stack), -1)[:, 1:]).max(axis=1) ** 2
    shares = np.zeros(len(stack))
    for place in np.flatnonzero(highest <= most):
        counts = np.bincount(stack[place].ravel(), minlength=256)
        level = int(counts.argmax())
        shares[place] = counts[max(0, level - _NEAR) : level + _NEAR + 1].sum() / stack[place].size
    return shares


def _white_border(stack: NDArray[np.uint8]) -> NDArray[np.float64]:
    """[N]."""
    marked = stack < _WHITE
    columns, rows = np.asarray(marked.any(axis=1)), np.asarray(marked.any(axis=2))
    return np.asarray(1.0 - _extent(columns) * _extent(rows) / stack[0].size)


def _extent(marked: NDArray[np.bool_]) -> NDArray[np.int64]:
    """[N] of [N, L]: from the first marked place to the last, both counted; 0 where there is none."""
    length = marked.shape[1] - marked.argmax(axis=1) - marked[:, ::-1].argmax(axis=1)
    return np.asarray(np.where(marked.any(axis=1), length, 0), np.int64)


def _missing_rows(stack: NDArray[np.uint8]) -> NDArray[np.float64]:
    """[N]. Such files end as they should, so that no decoder complains: a server closed them, or a copy lost some."""
    shares = np.zeros(len(stack))
    for place in np.flatnonzero((stack[:, -1, -1] == _FILL) & (stack[:, -1, 0] == _FILL)):
        shares[place] = (stack[place] == _FILL).all(axis=1)[::-1].argmin() / stack.shape[1]
    return shares
