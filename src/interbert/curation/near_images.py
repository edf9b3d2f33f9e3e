"""Near images: pairs of rows that show one photo, found by their hashes and verified by their pixels.

Found: recompressed, resized, mirrored. No pairs: another colour, another product of the kind. Mostly missed: crops, and
marks drawn over the photo, which pixels do not tell from another product's print.
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
    """Places of pairs that are one photo, closest first; as many as connect all that others would connect too.

    In rounds, each of which asks the closest pairs that connect groups: thousands of copies need one round.
    """
    left = np.flatnonzero(readable[pairs].all(axis=1))
    verified = np.empty(0, np.intp)
    groups = np.arange(len(steps))
    while (left := left[groups[pairs[left, 0]] != groups[pairs[left, 1]]]).size:
        asked = left[_forest(groups[pairs[left]], len(steps))]
        same = [
            _same(pairs[places], flipped[places], pixels, steps)
            for places in np.split(asked, range(_AT_ONCE, len(asked), _AT_ONCE))
        ]
        verified = np.concatenate((verified, asked[np.concatenate(same)]))
        groups = _groups(len(steps), pairs[verified])
        left = np.setdiff1d(left, asked)
    return verified


def _same(
    pairs: NDArray[np.intp], flipped: NDArray[np.bool_], pixels: NDArray[np.uint8], steps: NDArray[np.int64]
) -> NDArray[np.bool_]:
    one, other = pairs.T
    second = np.where(flipped[:, None, None, None], pixels[other][:, :, ::-1], pixels[other])
    return same_photo(pixels[one], second, np.maximum(steps[one], steps[other]))


def _forest(edges: NDArray[np.intp], number: int) -> NDArray[np.intp]:
    """Places of the first edges [E, 2] that connect all that any of them connect."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import minimum_spanning_tree

    ends, places = np.unique(np.sort(edges, axis=1), axis=0, return_index=True)
    graph = coo_array((places + 1.0, tuple(ends.T)), shape=(number, number)).tocsr()
    return np.sort(minimum_spanning_tree(graph).data.astype(np.intp)) - 1


def _groups(number: int, pairs: NDArray[np.intp]) -> NDArray[np.intp]:
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    graph = coo_array((np.ones(len(pairs), bool), tuple(pairs.T)), shape=(number, number))
    groups: NDArray[np.intp] = connected_components(graph, directed=False)[1]
    return groups
