"""The text-picture pairs of a region store, and which texts are right for which pictures.

A pair's picture belongs to a *group*: the same picture file, picture id or product. A text is right for a group when
any pair of the group has it, so items with the same picture or the same text are never each other's negatives
(SPEC part 2).
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from interbert.data.grouping import Groups
from interbert.data.packed import PackedTexts
from interbert.errors import SourceError
from interbert.regions.schema import CaptionRow

Int64 = NDArray[np.int64]


def normal_text(text: str) -> str:
    """What two texts must share to count as identical: letters without case, single spaces."""
    return " ".join(text.casefold().split())


@dataclass(frozen=True)
class PairTable:
    """Every (text, picture) pair, one entry each, in the order of the store."""

    texts: PackedTexts
    rows: Int64
    """[n] store row of the picture as it is."""
    mirrored_rows: Int64
    """[n] store row of its mirror image, -1 when there is none."""
    groups: Int64
    """[n] group of the picture."""
    text_ids: Int64
    """[n] equal for identical texts."""

    @classmethod
    def from_captions(
        cls, captions: Iterable[CaptionRow], fields: Sequence[str] = (), where: str = "the store"
    ) -> PairTable:
        """Build the table.

        Args:
            captions: all rows of a store, read once.
            fields: source columns whose texts to use; empty means all.
            where: the store, for messages.

        Raises:
            SourceError: no text is left.
        """
        groups, columns = Groups(), _Columns()
        known: set[str] = set()
        texts = PackedTexts(_texts(captions, set(fields), groups, columns, known))
        if not len(texts):
            wanted = f" in columns {', '.join(fields)}" if fields else ""
            raise SourceError(
                f"{where}: holds no text{wanted}. Its texts come from: {', '.join(sorted(known)) or 'nowhere'}."
            )
        rows, places, pictures, hashes = columns.arrays()
        return cls(texts, rows, columns.mirrored(pictures), groups.joined()[places], _by_first(hashes))

    def __len__(self) -> int:
        return len(self.texts)

    def split(self, share: float, seed: int) -> tuple[PairTable, PairTable]:
        """Two tables, the second with about ``share`` of the groups; no group and no text is on both sides."""
        groups = np.unique(self.groups)
        chosen = np.random.default_rng(seed).permutation(groups)[: max(1, round(share * len(groups)))]
        held = np.isin(self.groups, chosen)
        shared_text = np.isin(self.text_ids, self.text_ids[~held])
        return self.select(~held), self.select(held & ~shared_text)

    def select(self, keep: NDArray[np.bool_]) -> PairTable:
        """The pairs where ``keep`` [n] is True."""
        texts = self.texts.chosen(np.flatnonzero(keep).tolist())
        return PairTable(texts, self.rows[keep], self.mirrored_rows[keep], self.groups[keep], self.text_ids[keep])

    def is_right(self, text_of: int, picture_of: int) -> bool:
        """Whether pair ``text_of``'s text is a right one for pair ``picture_of``'s picture."""
        wanted = int(self.text_ids[text_of]) * self._stride + int(self.groups[picture_of])
        place = int(np.searchsorted(self._right_keys, wanted))
        return place < len(self._right_keys) and int(self._right_keys[place]) == wanted

    def same(self, pairs: Sequence[int]) -> NDArray[np.bool_]:
        """bool [k,k]: True where either pair's text is right for the other's picture."""
        right = self.right(pairs, pairs)
        return right | right.T

    def right(self, texts_of: Sequence[int] | Int64, pictures_of: Sequence[int] | Int64) -> NDArray[np.bool_]:
        """bool [k,m]: whether the text of each first pair is a right one for the picture of each second."""
        texts, pictures = np.asarray(texts_of, dtype=np.int64), np.asarray(pictures_of, dtype=np.int64)
        wanted = self.text_ids[texts][:, None] * self._stride + self.groups[pictures][None, :]
        place = np.searchsorted(self._right_keys, wanted).clip(max=len(self._right_keys) - 1)
        right: NDArray[np.bool_] = self._right_keys[place] == wanted
        return right

    @cached_property
    def _stride(self) -> int:
        return int(self.groups.max(initial=0)) + 1

    @cached_property
    def _right_keys(self) -> NDArray[np.int64]:
        return np.unique(self.text_ids * self._stride + self.groups)


class _Columns:
    """Numbers of the pairs, as they are read."""

    def __init__(self) -> None:
        self._pairs = array("q")
        self._mirrors = array("q")

    def add_pair(self, row: int, place: int, picture: int, text: int) -> None:
        self._pairs.extend((row, place, picture, text))

    def add_mirror(self, picture: int, row: int) -> None:
        self._mirrors.extend((picture, row))

    def arrays(self) -> tuple[Int64, Int64, Int64, Int64]:
        """Store row, place among the captions, hash of the picture's id and of the normal text, [n] each."""
        rows, places, pictures, texts = np.frombuffer(self._pairs, dtype=np.int64).reshape(-1, 4).T
        return rows.copy(), places, pictures, texts

    def mirrored(self, pictures: Int64) -> Int64:
        """[n] row of each picture's mirror image, -1 when there is none."""
        found = np.full(len(pictures), -1, dtype=np.int64)
        if self._mirrors:
            ids, rows = np.frombuffer(self._mirrors, dtype=np.int64).reshape(-1, 2).T
            order = np.argsort(ids, kind="stable")
            place = np.searchsorted(ids[order], pictures).clip(max=len(ids) - 1)
            there = ids[order][place] == pictures
            found[there] = rows[order][place[there]]
        return found


def _texts(
    captions: Iterable[CaptionRow], fields: set[str], groups: Groups, columns: _Columns, known: set[str]
) -> Iterator[str]:
    """Texts of all pairs; what else is known of them goes into ``groups``, ``columns`` and ``known``, as it is read."""
    for place, one in enumerate(captions):
        # rows that share a picture id, product id or picture file are one group
        keys = (("picture", one.picture_id), ("product", one.product_id), ("file", one.digest))
        groups.add(key for key in keys if key[1])
        picture = hash(one.picture_id)
        if one.view == 1:
            columns.add_mirror(picture, one.row)
        for text, column in zip(one.texts, one.text_fields, strict=True):
            known.add(column)
            if one.view == 0 and (not fields or column in fields):
                columns.add_pair(one.row, place, picture, hash(normal_text(text)))
                yield text


def _by_first(hashes: Int64) -> Int64:
    """Equal numbers for equal hashes, counted in the order in which they first come."""
    _, first, inverse = np.unique(hashes, return_index=True, return_inverse=True)
    number = np.empty(len(first), dtype=np.int64)
    number[np.argsort(first, kind="stable")] = np.arange(len(first))
    return number[inverse]
