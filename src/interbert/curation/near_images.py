"""Near images: pairs of rows that show one photo, found by their hashes and verified by their pixels.

Found: recompressed, resized, mirrored, cropped by about two hundredths. No pairs: another colour, another product of
the kind. Missed: larger crops, and marks drawn over the photo, which pixels do not tell from another product's print.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from interbert.curation.hash_search import close_hashes
from interbert.curation.image_hashes import HASH_BYTES
from interbert.curation.image_likeness import SIDE, same_photo, small_image
from interbert.errors import ImageError, require_range

_AT_ONCE = 512


@dataclass(frozen=True)
class NearImageOptions:
    """How near images are looked for."""

    distance: int = 24
    """Bits of 256 that the hashes of two images may differ in to be compared by their pixels."""
    mirrored: bool = True
    """Count a photo and its mirror image as one."""
    orders: int = 16
    """In which hashes are sorted; more find more pairs of larger images' sets, and take longer."""
    neighbours: int = 8
    """Images that each one is compared with, in each order and by pixels."""
    seed: int = 0
    """Of the orders."""

    def __post_init__(self) -> None:
        require_range("distance", self.distance, 0, 8 * HASH_BYTES)
        require_range("orders", self.orders, 1)
        require_range("neighbours", self.neighbours, 1)


def near_image_pairs(
    hashes: NDArray[np.uint8], load: Callable[[int], bytes], options: NearImageOptions | None = None
) -> NDArray[np.int64]:
    """Pairs of rows that show one photo; enough of them to connect all that were verified.

    Time and memory grow with the rows, however many are alike: a row is compared with a few that are closest to it.

    Args:
        hashes: [N, HASH_BYTES]; rows of zeros, which have no image, have no pairs.
        load: the file of a row; called once for each row with a close one, in ascending order.
        options: how they are looked for.

    Returns:
        Pairs [P, 2], row < other row, in ascending order.
    """
    options = options or NearImageOptions()
    rows = np.flatnonzero(hashes.any(axis=1))
    pairs, flipped = close_hashes(
        hashes[rows], options.distance, options.orders, options.neighbours, options.mirrored, options.seed
    )
    pairs = rows[pairs]
    needed, places = np.unique(pairs, return_inverse=True)
    with tempfile.TemporaryFile() as file:
        # on disk: 3 KiB for each, of what may be most rows of millions
        pixels = np.memmap(file, np.uint8, "w+", shape=(max(1, len(needed)), SIDE, SIDE, 3))
        steps = np.zeros(len(needed), np.int64)
        readable = np.zeros(len(needed), bool)
        for place, row in enumerate(needed.tolist()):
            try:
                pixels[place], steps[place] = small_image(load(row))
            except ImageError:
                continue  # it has a hash, so it could be read before: its source has changed
            readable[place] = True
        same = _verified(places.reshape(-1, 2), flipped, pixels, steps, readable)
    found: NDArray[np.int64] = np.unique(pairs[same], axis=0)
    return found


def _verified(
    pairs: NDArray[np.intp],
    flipped: NDArray[np.bool_],
    pixels: NDArray[np.uint8],
    steps: NDArray[np.int64],
    readable: NDArray[np.bool_],
) -> NDArray[np.intp]:
    """Places of the pairs that are one photo, closest first; without those that others connect already."""
    root = np.arange(len(steps))
    verified = []
    for start in range(0, len(pairs), _AT_ONCE):
        places = np.arange(start, min(start + _AT_ONCE, len(pairs)))
        one, other = pairs[places].T
        asked = (_roots(root, one) != _roots(root, other)) & readable[one] & readable[other]
        places, one, other = places[asked], one[asked], other[asked]
        second = np.where(flipped[places, None, None, None], pixels[other][:, :, ::-1], pixels[other])
        same = same_photo(pixels[one], second, np.maximum(steps[one], steps[other]))
        verified.append(places[same])
        for left, right in zip(one[same], other[same], strict=True):
            roots = _roots(root, np.asarray((left, right)))
            root[roots.max()] = roots.min()
    return np.concatenate(verified) if verified else np.empty(0, np.intp)


def _roots(root: NDArray[np.intp], places: NDArray[np.intp]) -> NDArray[np.intp]:
    """The first place of each one's group; paths are made shorter on the way."""
    while (root[root[places]] != root[places]).any():
        root[places] = root[root[places]]
    return root[places]
