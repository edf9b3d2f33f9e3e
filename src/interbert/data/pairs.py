"""The text-picture pairs of a region store, and which texts are right for which pictures.

A pair's picture belongs to a *group*: the same picture file, picture id or product. A text is right for a group when
any pair of the group has it, so items with the same picture or the same text are never each other's negatives
(SPEC part 2).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from interbert.data.grouping import joined
from interbert.errors import SourceError
from interbert.regions.schema import CaptionRow

Int64 = NDArray[np.int64]


def normal_text(text: str) -> str:
    """What two texts must share to count as identical: letters without case, single spaces."""
    return " ".join(text.casefold().split())


@dataclass(frozen=True)
class PairTable:
    """Every (text, picture) pair, one entry each, in the order of the store."""

    texts: tuple[str, ...]
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
        cls, captions: Sequence[CaptionRow], fields: Sequence[str] = (), where: str = "the store"
    ) -> PairTable:
        """Build the table.

        Args:
            captions: all rows of a store.
            fields: source columns whose texts to use; empty means all.
            where: the store, for messages.

        Raises:
            SourceError: no text is left.
        """
        groups = _groups(captions)
        mirrors = {one.picture_id: one.row for one in captions if one.view == 1}
        texts: list[str] = []
        rows: list[tuple[int, int, int]] = []
        for one, group in zip(captions, groups, strict=True):
            for text, column in zip(one.texts, one.text_fields, strict=True):
                if one.view == 0 and (not fields or column in fields):
                    texts.append(text)
                    rows.append((one.row, mirrors.get(one.picture_id, -1), group))
        if not texts:
            known = sorted({column for one in captions for column in one.text_fields})
            wanted = f" in columns {', '.join(fields)}" if fields else ""
            raise SourceError(f"{where}: holds no text{wanted}. Its texts come from: {', '.join(known) or 'nowhere'}.")
        numbers: dict[str, int] = {}
        text_ids = [numbers.setdefault(normal_text(text), len(numbers)) for text in texts]
        columns = np.array(rows, dtype=np.int64).reshape(-1, 3)
        return cls(tuple(texts), columns[:, 0], columns[:, 1], columns[:, 2], np.array(text_ids, dtype=np.int64))

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
        texts = tuple(text for text, kept in zip(self.texts, keep, strict=True) if kept)
        return PairTable(texts, self.rows[keep], self.mirrored_rows[keep], self.groups[keep], self.text_ids[keep])

    @cached_property
    def _right(self) -> frozenset[tuple[int, int]]:
        return frozenset(zip(self.text_ids.tolist(), self.groups.tolist(), strict=True))

    def is_right(self, text_of: int, picture_of: int) -> bool:
        """Whether pair ``text_of``'s text is a right one for pair ``picture_of``'s picture."""
        return (int(self.text_ids[text_of]), int(self.groups[picture_of])) in self._right

    def same(self, pairs: Sequence[int]) -> NDArray[np.bool_]:
        """bool [k,k]: True where either pair's text is right for the other's picture."""
        chosen = np.asarray(pairs, dtype=np.int64)
        wanted = self.text_ids[chosen][:, None] * self._stride + self.groups[chosen][None, :]
        place = np.searchsorted(self._right_keys, wanted).clip(max=len(self._right_keys) - 1)
        right: NDArray[np.bool_] = self._right_keys[place] == wanted
        return right | right.T

    @cached_property
    def _stride(self) -> int:
        return int(self.groups.max(initial=0)) + 1

    @cached_property
    def _right_keys(self) -> NDArray[np.int64]:
        return np.unique(self.text_ids * self._stride + self.groups)


def _groups(captions: Sequence[CaptionRow]) -> list[int]:
    """Rows that share a picture id, product id or picture file are one group."""
    keys = [(("picture", one.picture_id), ("product", one.product_id), ("file", one.digest)) for one in captions]
    return joined([[key for key in row if key[1]] for row in keys])
