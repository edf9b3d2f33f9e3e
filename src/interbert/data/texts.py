"""Texts: their words, rows that share one, and millions of them in a few arrays."""

from __future__ import annotations

import re
from abc import abstractmethod
from collections.abc import Hashable, Iterable, Iterator, Sequence
from functools import lru_cache
from itertools import pairwise
from typing import Any, TypeVar, overload

import numpy as np
from numpy.typing import NDArray

CJK = "\u3400-\u9fff\uf900-\ufaff"
"""Chinese characters, as part of a regular expression's class."""
_WORD = re.compile(rf"[{CJK}]|[^\W_{CJK}]+")
_CHARACTER = re.compile(f"[{CJK}]")
_REMEMBERED = 100_000
"""Texts whose words are kept: more than a batch draws from, less than a large catalogue has."""


def words_of(text: str) -> list[str]:
    """Terms of a text: words of alphabetic scripts, characters and character pairs of Chinese."""
    words = word_tokens(text)
    pairs = [a + b for a, b in pairwise(words) if is_cjk(a) and is_cjk(b)]
    return words + pairs


def word_tokens(text: str) -> list[str]:
    """Words of alphabetic scripts and single Chinese characters, without case, in order."""
    return _WORD.findall(text.casefold())


def is_cjk(word: str) -> bool:
    """Whether a token is one Chinese character."""
    return _CHARACTER.fullmatch(word) is not None


def has_cjk(text: str) -> bool:
    """Whether there is a Chinese character in a text."""
    return _CHARACTER.search(text) is not None


def mostly_cjk(text: str) -> bool:
    """Whether more than half of a text's tokens are Chinese characters."""
    tokens = word_tokens(text)
    return 2 * sum(map(is_cjk, tokens)) > len(tokens)


class NearSame:
    """Whether two of many texts say nearly the same.

    Args:
        texts: all of them.
        share: so much of the words of both, in any order, must be common to them; 1 asks for the same set of words.
    """

    def __init__(self, texts: Sequence[str], share: float) -> None:
        self._texts = texts
        self._share = share
        self._words = lru_cache(maxsize=_REMEMBERED)(self._read)

    def __call__(self, first: int, second: int) -> bool:
        """Whether texts ``first`` and ``second`` do; texts without words are like none."""
        one, other = self._words(first), self._words(second)
        return bool(one) and len(one & other) >= self._share * len(one | other)

    def __getstate__(self) -> dict[str, object]:
        return {"_texts": self._texts, "_share": self._share}

    def __setstate__(self, state: dict[str, object]) -> None:
        self.__dict__ |= state
        self._words = lru_cache(maxsize=_REMEMBERED)(self._read)

    def _read(self, index: int) -> frozenset[str]:
        return frozenset(words_of(self._texts[index]))


class Groups:
    """Collects the keys of rows, eight bytes each, and joins the rows at the end."""

    def __init__(self) -> None:
        self._rows: list[int] = []
        self._keys: list[int] = []
        self._parts: list[tuple[NDArray[np.int64], NDArray[np.int64]]] = []
        self._count = 0

    def add(self, keys: Iterable[Hashable]) -> None:
        """The next row's keys; two keys are taken to be equal when their 64-bit hashes are."""
        for key in keys:
            self._rows.append(self._count)
            self._keys.append(hash(key))
        self._count += 1
        if len(self._rows) >= 100_000:
            self._pack()

    def _pack(self) -> None:
        self._parts.append((np.array(self._rows, dtype=np.int64), np.array(self._keys, dtype=np.int64)))
        self._rows, self._keys = [], []

    def joined(self) -> NDArray[np.int64]:
        """Group of each row: the first row that it is linked to, over any number of shared keys."""
        from scipy.sparse import coo_matrix
        from scipy.sparse.csgraph import connected_components

        self._pack()
        rows, keys = (np.concatenate(part) for part in zip(*self._parts, strict=True))
        known, codes = np.unique(keys, return_inverse=True)
        size = self._count + len(known)
        links = coo_matrix((np.ones(len(rows), dtype=np.int8), (rows, self._count + codes)), shape=(size, size))
        _, label = connected_components(links, directed=False)
        label = label[: self._count]
        first = np.full(label.max(initial=-1) + 1, self._count, dtype=np.int64)
        np.minimum.at(first, label, np.arange(self._count))
        found: NDArray[np.int64] = first[label]
        return found


def joined(keys: Iterable[Iterable[Hashable]]) -> list[int]:
    """Group of each row: the first row that it is linked to.

    Example::

        joined([["a", "x"], ["b"], ["x", "b"], ["c"]]) == [0, 0, 0, 3]
    """
    groups = Groups()
    for members in keys:
        groups.add(members)
    return [int(group) for group in groups.joined()]


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
