"""A perceptual hash that is fine enough for products on white, and that can be mirrored without the image.

Two bits for each of the 128 lowest frequencies of an image's discrete cosine transform (Zauner 2010, "Implementation and
benchmarking of perceptual image hash functions", has one): well above zero, and well below. A frequency that is as good
as absent, of which a symmetric product on white has many, is then two bits that stay, and no bit that noise decides.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from PIL import Image

HASH_BYTES = 32
"""Bytes of a hash: 256 bits."""
SIDE = 32
"""Pixels per side of the grey image that is hashed."""

_FREQUENCIES = 128
_LOWEST = 16
"""Frequencies per direction that the lowest are among."""
_ABSENT = 8.0
"""Amplitudes up to this count as none (grey levels times 32 pixels per side): JPEG at quality 30 adds about 2."""


def hash_of(values: NDArray[np.uint8]) -> bytes:
    """The hash of an image that was made small.

    Args:
        values: [SIDE, SIDE] grey levels.
    """
    basis, transposed, places = _transform()
    lowest = (basis @ values.astype(np.float32) @ transposed).ravel()[places]
    return np.packbits(np.concatenate((lowest > _ABSENT, lowest < -_ABSENT))).tobytes()


def small_grey(grey: Image.Image) -> NDArray[np.uint8]:
    """[SIDE, SIDE] of an image of mode L, which is what :func:`hash_of` takes."""
    from PIL import Image

    # a box's weights are all or nothing, which moves edges by up to half a pixel
    small = grey.resize((SIDE, SIDE), Image.Resampling.BILINEAR)
    return np.frombuffer(small.tobytes(), np.uint8).reshape(SIDE, SIDE)


def mirrored(hashes: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """[N, HASH_BYTES] of the same images, left and right exchanged: odd horizontal frequencies change their sign."""
    positive, negative = np.split(hashes, 2, axis=1)
    odd = np.packbits(np.asarray(_transform()[2]) % _LOWEST % 2 == 1)
    swapped = (positive ^ negative) & odd
    return np.concatenate((positive ^ swapped, negative ^ swapped), axis=1)


@cache
def _transform() -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.intp]]:
    """The orthonormal cosine basis, [_LOWEST, SIDE], its transpose, and where the lowest frequencies lie, flat."""
    from scipy.fft import dct

    basis = dct(np.eye(SIDE, dtype=np.float32), axis=0, norm="ortho")[:_LOWEST].astype(np.float32)
    rows, columns = np.divmod(np.arange(_LOWEST * _LOWEST), _LOWEST)
    places = np.lexsort((columns, rows + columns))[1 : _FREQUENCIES + 1]  # without the mean, which light changes
    return np.ascontiguousarray(basis), np.ascontiguousarray(basis.T), places
