"""What stage 1 found of all rows, read back from its chunks: small columns in memory, texts in Arrow's buffers.

Shapes: N rows of the source, in its order.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, overload

import numpy as np
import xxhash
from numpy.typing import NDArray

from interbert.curation.cells import Chunk
from interbert.utils.bounded_files import reading

_REMEDY = "Remove it, and run the same command again."
_BATCH = 100_000

Keys = NDArray[np.uint64]
"""[rows, words] what rows are the same by"""


class ArrowTexts(Sequence[str]):
    """Texts of rows in Arrow's buffers: a list of millions of Python's texts takes several times as much memory."""

    def __init__(self, column: Any) -> None:
        self._column = column

    def __len__(self) -> int:
        return len(self._column)

    @overload
    def __getitem__(self, row: int) -> str: ...
    @overload
    def __getitem__(self, row: slice) -> ArrowTexts: ...
    def __getitem__(self, row: int | slice) -> str | ArrowTexts:
        if isinstance(row, slice):
            start, stop, step = row.indices(len(self))
            assert step == 1
            return ArrowTexts(self._column.slice(start, max(0, stop - start)))
        return str(self._column[int(row)].as_py())

    def __iter__(self) -> Iterator[str]:
        for start in range(0, len(self), _BATCH):
            yield from self._column.slice(start, _BATCH).to_pylist()

    def take(self, rows: NDArray[np.int64]) -> ArrowTexts:
        """The texts of some rows."""
        return ArrowTexts(self._column.take(rows))


class JudgedRows:
    """The tables of all chunks.

    Args:
        folder: of the chunks' files.
        chunks: all of them.
    """

    def __init__(self, folder: Path, chunks: Sequence[Chunk]) -> None:
        self._files = [folder / chunk.name for chunk in chunks]
        self.count = sum(chunk.rows for chunk in chunks)

    def column(self, name: str) -> Any:
        """A column as Arrow's chunked array.

        Raises:
            DataError: a chunk's file is damaged.
        """
        import pyarrow as pa

        parts = [read_judged(file, [name])[name] for file in self._files]
        return pa.chunked_array([piece for part in parts for piece in part.chunks], parts[0].type if parts else None)

    def texts(self, name: str) -> ArrowTexts:
        """A column of texts."""
        import pyarrow as pa

        return ArrowTexts(self.column(name).cast(pa.large_string()).combine_chunks())

    @cached_property
    def kept(self) -> NDArray[np.bool_]:
        """[N] rows that no rule dropped"""
        import pyarrow.compute as pc

        found: NDArray[np.bool_] = pc.is_null(self.column("dropped")).to_numpy().astype(bool)
        return found

    @cached_property
    def titles(self) -> ArrowTexts:
        """[N] clean titles"""
        return self.texts("title")

    @cached_property
    def digests(self) -> NDArray[np.uint8]:
        """[N, 32] of the images' files, 0 without one"""
        return fixed_bytes(self.column("digest"))

    @cached_property
    def hashes(self) -> NDArray[np.uint8]:
        """[N, bytes] of the images' looks, 0 without one"""
        return fixed_bytes(self.column("hash"))


def read_judged(file: Path, columns: Sequence[str] | None = None) -> Any:
    """The table of a chunk, or some of its columns.

    Raises:
        DataError: the file is not there, or damaged.
    """
    import pyarrow.parquet as pq

    with reading(file, _REMEDY):
        return pq.read_table(file, columns=None if columns is None else list(columns))


def fixed_bytes(column: Any) -> NDArray[np.uint8]:
    """[N, bytes] of values that all have the same length; 0 where there is none, or an empty one."""
    import pyarrow.compute as pc

    sizes = pc.fill_null(pc.binary_length(column), 0).to_numpy()
    width = int(sizes.max()) if len(sizes) else 0
    whole = np.zeros((len(column), width), dtype=np.uint8)
    place = 0
    for piece in column.chunks:
        there = np.flatnonzero(sizes[place : place + len(piece)] == width)
        if width and len(there):
            joined = np.frombuffer(b"".join(piece.take(there).to_pylist()), dtype=np.uint8)
            whole[place + there] = joined.reshape(-1, width)
        place += len(piece)
    return whole


def text_keys(texts: Sequence[str]) -> Keys:
    """[N, 2] 128 bits of each text."""
    joined = b"".join(xxhash.xxh3_128_digest(text.encode("utf-8", "surrogatepass")) for text in texts)
    return np.frombuffer(joined, dtype=np.uint64).reshape(-1, 2)


def byte_keys(values: NDArray[np.uint8]) -> Keys:
    """[N, words] of rows of bytes, whose width is a multiple of 8."""
    return np.ascontiguousarray(values).view(np.uint64)


def first_equal(keys: Keys) -> NDArray[np.int64]:
    """[N] for each row the first one that is the same."""
    first = np.arange(len(keys), dtype=np.int64)
    if len(keys) and keys.shape[1]:
        order = np.lexsort(keys.T)  # stable: of equal rows the first one comes first
        same = (keys[order[1:]] == keys[order[:-1]]).all(axis=1)
        begins = np.flatnonzero(np.concatenate(([True], ~same)))
        first[order] = np.repeat(order[begins], np.diff(np.append(begins, len(keys))))
    return first


def linked(rows: NDArray[np.int64], first: NDArray[np.int64]) -> NDArray[np.int64]:
    """[P, 2] pairs of rows: each that has an equal one before it, with the first of those.

    Args:
        rows: [n] that were compared.
        first: [n] places among them.
    """
    later = np.flatnonzero(first != np.arange(len(first)))
    return np.stack((rows[first[later]], rows[later]), axis=1)
