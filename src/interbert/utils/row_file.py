"""Rows of numbers that are too many for memory, in a file that ends with its process.

Shapes: n rows, D numbers of each.
"""

from __future__ import annotations

import os
import tempfile
import weakref
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from interbert.errors import writing

Float32 = NDArray[np.float32]
Int64 = NDArray[np.int64]

_BLOCK_BYTES = 32 * 2**20


class Rows(Protocol):
    """Rows f32 [n,D] by number: an array, or what reads them when they are asked for."""

    @property
    def shape(self) -> tuple[int, ...]:
        """n and D."""

    def __len__(self) -> int:
        """n."""

    def __getitem__(self, rows: Int64, /) -> Float32:
        """Some rows, in the asked order."""


class RowFile:
    """Rows f32 [n,D] in a file without a name, which the system removes with the process, however it ends.

    It is read and written by calls, not mapped: what the system keeps of it in memory belongs to no process.

    Args:
        folder: where there is room for 4 n D bytes.
        count: n.
        size: D.

    Raises:
        StorageError: the disk is full or not writable.
    """

    def __init__(self, folder: Path, count: int, size: int) -> None:
        self.shape = (count, size)
        self._folder = folder
        with writing(folder):
            folder.mkdir(parents=True, exist_ok=True)
            self._file = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115
            weakref.finalize(self, self._file.close)
            self._file.truncate(4 * count * size)

    @classmethod
    def of(cls, folder: Path, count: int, blocks: Iterable[tuple[Int64, Float32]]) -> RowFile:
        """Rows that come in blocks: their numbers [k], each of n once, and the rows [k,D]."""
        found: RowFile | None = None
        for numbers, rows in blocks:
            found = found or cls(folder, count, rows.shape[1])
            found.write(numbers, rows)
        return found or cls(folder, count, 0)

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, rows: Int64) -> Float32:
        found = np.empty((len(rows), self.shape[1]), dtype=np.float32)
        for part, offset in self._runs(rows):
            left = found[part].data.cast("B")
            while left:
                read = os.preadv(self._file.fileno(), [left], offset)
                assert read, "a row lies behind the end"
                left, offset = left[read:], offset + read
        return found

    def write(self, rows: Int64, values: Float32) -> None:
        """Put rows [k,D] at their numbers [k].

        Raises:
            StorageError: the disk is full.
        """
        values = np.ascontiguousarray(values, dtype=np.float32)
        with writing(self._folder):
            for part, offset in self._runs(rows):
                left = values[part].data.cast("B")
                while left:
                    written = os.pwritev(self._file.fileno(), [left], offset)
                    left, offset = left[written:], offset + written

    def _runs(self, rows: Int64) -> Iterator[tuple[slice, int]]:
        """Places of numbers that follow each other, and where in the file their rows begin."""
        if not len(rows) or not self.shape[1]:
            return
        starts = np.concatenate([[0], np.flatnonzero(np.diff(rows) != 1) + 1])
        ends = np.concatenate([starts[1:], [len(rows)]])
        stride = 4 * self.shape[1]
        for start, end, first in zip(starts.tolist(), ends.tolist(), rows[starts].tolist(), strict=True):
            assert 0 <= first <= self.shape[0] - (end - start)
            yield slice(start, end), first * stride


class Chosen:
    """Of other rows some, perhaps more than once.

    Args:
        rows: the others.
        numbers: [n] of the rows that are chosen.
    """

    def __init__(self, rows: Rows, numbers: Int64) -> None:
        self._rows = rows
        self._numbers = numbers
        self.shape = (len(numbers), *rows.shape[1:])

    def __len__(self) -> int:
        return len(self._numbers)

    def __getitem__(self, rows: Int64) -> Float32:
        return self._rows[self._numbers[rows]]


class Changed:
    """Other rows after a function of each, which is applied when they are read.

    Args:
        rows: the others.
        change: rows [k,D] to rows [k,D].
    """

    def __init__(self, rows: Rows, change: Callable[[Float32], Float32]) -> None:
        self._rows = rows
        self._change = change
        self.shape = rows.shape

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, rows: Int64) -> Float32:
        return self._change(self._rows[rows])


def blocks_of(rows: Rows) -> Iterator[tuple[Int64, Float32]]:
    """All rows in their order, as many at once as fit into 32 MB, with their numbers."""
    size = max(1, _BLOCK_BYTES // (4 * max(1, rows.shape[1])))
    for start in range(0, len(rows), size):
        numbers = np.arange(start, min(start + size, len(rows)), dtype=np.int64)
        yield numbers, rows[numbers]
