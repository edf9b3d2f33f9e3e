"""Millions of texts and token sequences in a few arrays: as Python objects they would take ten times the memory."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, TypeVar, overload

import numpy as np
from numpy.typing import NDArray

Int64 = NDArray[np.int64]
Item = TypeVar("Item")


class _Flat(Sequence[Item]):
    """Items laid end to end in one array, and where each ends."""

    def __init__(self, ends: Int64) -> None:
        self._ends = ends

    def __len__(self) -> int:
        return len(self._ends) - 1

    @overload
    def __getitem__(self, index: int) -> Item: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[Item, ...]: ...
    def __getitem__(self, index: int | slice) -> Item | tuple[Item, ...]:
        if isinstance(index, slice):
            return tuple(self[place] for place in range(*index.indices(len(self))))
        place = range(len(self))[index]
        return self._item(slice(self._ends[place], self._ends[place + 1]))

    @abstractmethod
    def _item(self, where: slice) -> Item:
        """The item that lies there."""


class FlatTexts(_Flat[str]):
    """Texts as one UTF-8 buffer; reads like a tuple of strings."""

    def __init__(self, texts: Iterable[str] = ()) -> None:
        buffer, ends = bytearray(), [0]
        for text in texts:
            buffer += text.encode("utf-8", "surrogatepass")
            ends.append(len(buffer))
        super().__init__(np.array(ends, dtype=np.int64))
        self._buffer = bytes(buffer)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sequence) and len(self) == len(other) and all(map(str.__eq__, self, other))

    __hash__ = None  # type: ignore[assignment]  # as lists: equal to sequences of other kinds

    def chosen(self, places: Iterable[int]) -> FlatTexts:
        """Some of them, in the asked order."""
        return FlatTexts(self[int(place)] for place in places)

    def _item(self, where: slice) -> str:
        return self._buffer[where].decode("utf-8", "surrogatepass")


class FlatIds(_Flat[Int64]):
    """Token ids of texts as one int32 array."""

    def __init__(self, blocks: Iterable[Sequence[Sequence[int]]]) -> None:
        flat: list[NDArray[np.int32]] = [np.empty(0, dtype=np.int32)]
        sizes: list[NDArray[np.int64]] = [np.zeros(1, dtype=np.int64)]
        for block in blocks:
            lengths = np.array([len(ids) for ids in block], dtype=np.int64)
            flat.append(np.fromiter((token for ids in block for token in ids), dtype=np.int32, count=lengths.sum()))
            sizes.append(lengths)
        super().__init__(np.concatenate(sizes).cumsum())
        self._flat = np.concatenate(flat)

    @property
    def lengths(self) -> Int64:
        """[n] tokens of each text."""
        return np.diff(self._ends)

    @property
    def flat(self) -> NDArray[np.int32]:
        """All tokens, text after text."""
        return self._flat

    def _item(self, where: slice) -> Int64:
        return self._flat[where].astype(np.int64)


def in_blocks(texts: Sequence[str], size: int = 10_000) -> Iterator[Sequence[str]]:
    """Parts of a sequence, so that what is made of each need not be there at once."""
    for start in range(0, len(texts), size):
        yield texts[start : start + size]


def flat_ids(encoder: Any, texts: Sequence[str]) -> FlatIds:
    """Token ids of texts by a processor's ``texts_to_ids``."""
    return FlatIds(encoder.texts_to_ids(block) for block in in_blocks(texts))
