"""A perceptual hash that is fine enough for products on white, and that can be mirrored without the image.

Two bits for each of the 128 lowest frequencies of an image's discrete cosine transform (one bit each in Zauner 2010,
"Implementation and benchmarking of perceptual image hash functions"): well above zero, and well below. A frequency that
is as good as absent, of which a symmetric product on white has many, is then two bits that stay, and no bit that noise
decides.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

HASH_BYTES = 32
"""Bytes of a hash: 256 bits."""
SIDE = 32
"""Amplitudes are those of an image of so many pixels per side, whatever its size."""

_FREQUENCIES = 128
_LOWEST = 16
"""Frequencies per direction that the lowest are among."""
_ABSENT = 8.0
"""Amplitudes up to this count as none: JPEG at quality 30 adds about 2."""


def low_frequencies(greys: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Amplitudes [N, 16, 16] of the lowest frequencies of grey images [N, H, W], by cosines over each side."""
    height, width = greys.shape[1:]
    amplitudes: NDArray[np.float32] = _basis(height) @ greys.astype(np.float32) @ _basis(width).T
    return amplitudes


def hashes_of(amplitudes: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Hashes [N, HASH_BYTES] of images by the amplitudes [N, 16, 16] of their lowest frequencies."""
    lowest = amplitudes.reshape(len(amplitudes), -1)[:, _PLACES]
    return np.packbits(np.concatenate((lowest > _ABSENT, lowest < -_ABSENT), axis=1), axis=1)


def mirrored(hashes: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """[N, HASH_BYTES] of the same images, left and right exchanged: odd horizontal frequencies change their sign."""
    positive, negative = np.split(hashes, 2, axis=1)
    odd = np.packbits(_PLACES % _LOWEST % 2 == 1)
    swapped = (positive ^ negative) & odd
    return np.concatenate((positive ^ swapped, negative ^ swapped), axis=1)


def _lowest_places() -> NDArray[np.intp]:
    """Where the lowest frequencies lie, flat, lowest first; without the mean, which light changes."""
    rows, columns = np.divmod(np.arange(_LOWEST * _LOWEST), _LOWEST)
    return np.lexsort((columns, rows + columns))[1 : _FREQUENCIES + 1]


_PLACES = _lowest_places()


@lru_cache(maxsize=1024)
def _basis(length: int) -> NDArray[np.float32]:
    """[_LOWEST, length]: the cosines, scaled so that their amplitudes do not grow with the length."""
    frequencies, places = np.arange(_LOWEST)[:, None], np.arange(length) + 0.5
    cosines = np.cos(np.pi * frequencies * places / length) * np.sqrt(2.0 / SIDE) * SIDE / length
    cosines[0] /= np.sqrt(2.0)
    basis: NDArray[np.float32] = cosines.astype(np.float32)
    return basis
