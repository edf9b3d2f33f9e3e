"""Vectors in memory at 12 bits a number, divided into partitions by faiss: the nearest of a million in milliseconds.

The first 8 bits of a number are faiss's: what a vector differs from its partition's centre by (Jegou et al. 2011). By
them the nearest are found. The other 4 bits are what those leave, and order what was found: 8 bits alone lose one of a
hundred nearest.

Shapes: n vectors, m of a sample, S stored size.
"""

from __future__ import annotations

import math
import threading
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from interbert.errors import MissingExtraError

Float32 = NDArray[np.float32]
Positions = NDArray[np.int64]
Bits = NDArray[np.uint8]

SAMPLE_ROWS = 40
"""Vectors of the sample for each partition."""
_PARTITIONS = 2.0
"""So many times the square root of their number."""
_LOOK_AT_LEAST, _LOOK_AT_MOST = 5_000, 50_000
"""Vectors that are compared by their 8 bits, of those that count."""
_SCALE, _POWER = 10.0, 0.7
"""Between these bounds, of n that count ``scale * n ** power`` are compared."""
_MORE = 1.5
"""So many times k are compared by all of their bits."""
_ITERATIONS = 6
_WIDER = 0.1
"""By so much of its width ranges are wider than the sample's, on both sides: what lies outside is cut off."""
_LEVELS = 16
_PLACE_BITS = 32
"""Of a vector's number and its place in faiss's direct map: its partition is above them."""
_ROOM = 1.05


@dataclass(frozen=True)
class Selection:
    """Which vectors count.

    Attributes:
        bits: of positions, the lowest bit first; None where all count.
        counts: how many of each partition do.
    """

    bits: Bits | None
    counts: NDArray[np.int64]

    @cached_property
    def matching(self) -> int:
        """How many count."""
        return int(self.counts.sum())


def faiss_module() -> Any:
    """The library.

    Raises:
        MissingExtraError: it is not installed.
    """
    try:
        import faiss
    except ImportError as error:
        raise MissingExtraError.of("faiss-cpu", "memory") from error
    return faiss


def partitions_of(rows: int) -> int:
    """How many partitions so many vectors have."""
    return max(1, round(_PARTITIONS * math.sqrt(rows)))


class CompactVectors:
    """Vectors that are added and never removed; a search is told which of them count. Threads may share it.

    Args:
        sample: vectors [m,S], from which partitions and ranges are computed.
        rows: how many vectors there will be, about.

    Raises:
        MissingExtraError: faiss is not installed.
    """

    def __init__(self, sample: Float32, rows: int) -> None:
        self._faiss = faiss_module()
        size = sample.shape[1]
        partitions = min(partitions_of(rows), max(1, len(sample) // SAMPLE_ROWS))
        self._centres = self._faiss.IndexFlatL2(size)
        self._index = self._faiss.IndexIVFScalarQuantizer(
            self._centres, size, partitions, self._faiss.ScalarQuantizer.QT_8bit, self._faiss.METRIC_L2
        )
        self._index.cp.niter = _ITERATIONS
        self._index.cp.min_points_per_centroid = 1
        self._index.sq.rangestat_arg = _WIDER
        self._index.train(np.ascontiguousarray(sample, dtype=np.float32))
        self._index.set_direct_map_type(self._faiss.DirectMap.Array)
        ranges = self._faiss.vector_to_array(self._index.sq.trained)
        self._step: Float32 = (ranges[size:] / 255).clip(min=1e-12).astype(np.float32)
        self._rest = np.empty((math.ceil(rows * _ROOM), -(-size // 2)), dtype=np.uint8)
        self._lock = threading.Lock()

    def __len__(self) -> int:
        """n."""
        return int(self._index.ntotal)

    @property
    def size(self) -> int:
        """S."""
        return int(self._index.d)

    @property
    def nbytes(self) -> int:
        """Bytes: numbers, and of each vector its number in its partition and its place there."""
        return self._rest.nbytes + len(self) * (self.size + 16) + 4 * self.size * int(self._index.nlist)

    def add(self, stored: Float32) -> None:
        """Add vectors [n,S]; their positions are those that follow."""
        stored = np.ascontiguousarray(stored, dtype=np.float32)
        if not len(stored):
            return
        with self._lock:
            first = len(self)
            self._index.add(stored)
            known = self._index.reconstruct_n(first, len(stored))
            if len(self) > len(self._rest):
                grown = np.empty((math.ceil(len(self) * _ROOM), self._rest.shape[1]), dtype=np.uint8)
                grown[:first] = self._rest[:first]
                self._rest = grown
            rest = np.floor(((stored - known) / self._step + 0.5) * _LEVELS).clip(0, _LEVELS - 1).astype(np.uint8)
            if self.size % 2:
                rest = np.pad(rest, ((0, 0), (0, 1)))
            self._rest[first : len(self)] = rest[:, ::2] << 4 | rest[:, 1::2]

    def fit_memory(self) -> None:
        """Give back the room that partitions got while they grew: up to as much again as their vectors take."""
        with self._lock:
            grown = self._faiss.downcast_InvertedLists(self._index.invlists)
            fitting = self._faiss.ArrayInvertedLists(grown.nlist, grown.code_size)
            for number in range(grown.nlist):
                count = grown.list_size(number)
                fitting.add_entries(number, count, grown.get_ids(number), grown.get_codes(number))
            self._index.replace_invlists(fitting, True)  # places within partitions are as they were
            fitting.this.disown()

    def vectors(self, positions: Positions) -> Float32:
        """Vectors [len(positions),S], as near as 12 bits are."""
        with self._lock:
            known: Float32 = self._index.reconstruct_batch(np.ascontiguousarray(positions, dtype=np.int64))
            packed = self._rest[positions]
        rest = np.empty((len(packed), 2 * packed.shape[1]), dtype=np.float32)
        rest[:, ::2], rest[:, 1::2] = packed >> 4, packed & (_LEVELS - 1)
        known += ((rest[:, : self.size] + 0.5) / _LEVELS - 0.5) * self._step
        return known

    def selection(self, mask: NDArray[np.bool_] | None) -> Selection:
        """Of a mask of the first positions [n]; None selects all that there are now."""
        partitions = int(self._index.nlist)
        with self._lock:
            total = len(self) if mask is None else len(mask)
            places = self._faiss.rev_swig_ptr(self._index.direct_map.array.data(), total)
            homes = (places if mask is None else places[mask]) >> _PLACE_BITS
            counts = np.bincount(homes, minlength=partitions)
        return Selection(None if mask is None else np.packbits(mask, bitorder="little"), counts)

    def nearest(self, query: Float32, k: int, selection: Selection) -> tuple[Positions, Float32]:
        """The nearest vectors in L2, nearest first, and what they are: [n] and [n,S], n at most ``k``.

        Args:
            query: [S].
            k: how many.
            selection: which positions count; what was added since does not.
        """
        wanted = min(math.ceil(_MORE * k), selection.matching)
        if wanted < 1:
            return np.empty(0, np.int64), np.empty((0, self.size), np.float32)
        found = self._found(np.ascontiguousarray(query, dtype=np.float32)[None], wanted, selection)
        found = found[found >= 0]
        vectors = self.vectors(found)
        order = np.argsort(np.square(vectors - query).sum(axis=1), kind="stable")[:k]
        return found[order], vectors[order]

    def _found(self, query: Float32, wanted: int, selection: Selection) -> Positions:
        """By 8 bits, in the partitions that are nearest and hold enough that counts.

        Where a filter lets through what is unlike the query, these are more than where it lets through anything.
        """
        most = max(wanted, _LOOK_AT_LEAST, min(_LOOK_AT_MOST, round(_SCALE * selection.matching**_POWER)))
        nearest = self._centres.search(query, int(self._index.nlist))[1][0]
        passed = np.cumsum(selection.counts[nearest])
        probes = int(np.searchsorted(passed, min(most, selection.matching))) + 1
        with self._lock:
            bits = selection.bits
            if bits is None and len(self) > selection.matching:  # it was all when it was made
                bits = np.packbits(np.ones(selection.matching, dtype=bool), bitorder="little")
            options = {} if bits is None else {"sel": self._faiss.IDSelectorBitmap(bits)}
            parameters = self._faiss.SearchParametersIVF(nprobe=probes, **options)
            found: Positions = self._index.search(query, wanted, params=parameters)[1][0]
        return found
