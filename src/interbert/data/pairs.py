"""The text-image pairs of a region store, and which texts are right for which images.

A pair's image belongs to a *group*: the same image file, image id or product. A text is right for a group when
any pair of the group has it, so items with the same image or the same text are never each other's negatives
(SPEC part 2). Judgements (:mod:`interbert.data.qrels`) make further pairs: a query with each of its right products.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from interbert.data.texts import FlatTexts, Groups
from interbert.errors import SourceError
from interbert.regions.schema import CaptionRow

if TYPE_CHECKING:
    from interbert.data.qrels import QrelsTexts

Int64 = NDArray[np.int64]


def normal_text(text: str) -> str:
    """What two texts must share to count as identical: letters without case, single spaces."""
    return " ".join(text.casefold().split())


@dataclass(frozen=True)
class PairTable:
    """Every (text, image) pair, one entry each, in the order of the store."""

    texts: FlatTexts
    rows: Int64
    """[n] store row of the image as it is."""
    mirrored_rows: Int64
    """[n] store row of its mirror image, -1 when there is none."""
    groups: Int64
    """[n] group of the image."""
    text_ids: Int64
    """[n] equal for identical texts."""
    also_relevant: Int64 = field(default_factory=lambda: np.zeros((0, 2), dtype=np.int64))
    """[m,2] text ids and groups that are right for each other without being a pair: never negatives."""
    unpaired: Int64 = field(default_factory=lambda: np.zeros((0, 2), dtype=np.int64))
    """[m,2] store row and group of each image as it is that no pair shows: candidates of a ranking, no more."""
    judged_wrong: Int64 = field(default_factory=lambda: np.zeros((0, 2), dtype=np.int64))
    """[m,2] text ids and groups that somebody judged to be wrong for each other: negatives worth learning from."""

    @classmethod
    def from_captions(
        cls,
        captions: Iterable[CaptionRow],
        fields: Sequence[str] = (),
        where: str = "the store",
        judged: QrelsTexts | None = None,
    ) -> PairTable:
        """Build the table.

        Args:
            captions: all rows of a store, read once.
            fields: source columns whose texts to use; empty means all, or none beside judgements.
            where: the store, for messages.
            judged: judgements, whose queries become texts of their right products.

        Raises:
            SourceError: no text is left.
        """
        groups, columns = Groups(), _Columns()
        known: set[str] = set()
        wanted_fields = None if judged is not None and not fields else set(fields)
        texts = FlatTexts(_texts(captions, wanted_fields, groups, columns, known, judged))
        if not len(texts) and judged is not None and not fields:
            raise SourceError(
                f"{judged.qrels.where}: calls none of the products of {where} right. Its products are named as "
                f"{judged.qrels.products[0]!r}; those of a store as the product ids it was extracted with."
            )
        if not len(texts):
            wanted = f" in columns {', '.join(fields)}" if fields else ""
            raise SourceError(
                f"{where}: holds no text{wanted}. Its texts come from: {', '.join(sorted(known)) or 'nowhere'}."
            )
        rows, places, images, hashes = columns.arrays()
        group_of, text_ids = groups.joined(), _by_first(hashes)
        also, wrong = (part.known(hashes, text_ids, group_of) for part in (columns.also_relevant, columns.judged_wrong))
        mirrored, unpaired = columns.mirrored(images), columns.unpaired(group_of)
        return cls(texts, rows, mirrored, group_of[places], text_ids, also, unpaired, wrong)

    def __len__(self) -> int:
        return len(self.texts)

    def split(self, share: float, seed: int, repeat_texts: bool = False) -> tuple[PairTable, PairTable]:
        """Two tables, the second with about ``share`` of the groups; no group and no text is on both sides.

        With ``repeat_texts`` texts may be: a query that many products answer is asked of the held-out ones too.
        Of the groups without a text the same share is held out; their draw leaves that of the others as it is.
        """
        generator = np.random.default_rng(seed)
        groups = np.unique(self.groups)
        chosen = generator.permutation(groups)[: max(1, round(share * len(groups)))]
        textless = np.setdiff1d(self.unpaired[:, 1], groups)
        chosen = np.concatenate([chosen, generator.permutation(textless)[: round(share * len(textless))]])
        held, held_unpaired = np.isin(self.groups, chosen), np.isin(self.unpaired[:, 1], chosen)
        shared_text = np.isin(self.text_ids, self.text_ids[~held])
        judged = held if repeat_texts else held & ~shared_text
        return self.select(~held, ~held_unpaired), self.select(judged, held_unpaired)

    def select(self, keep: NDArray[np.bool_], unpaired: NDArray[np.bool_] | None = None) -> PairTable:
        """The pairs where ``keep`` [n] is True, and of the images without a pair those of ``unpaired``, or all."""
        texts = self.texts.chosen(np.flatnonzero(keep).tolist())
        rows, mirrored = self.rows[keep], self.mirrored_rows[keep]
        others = self.unpaired if unpaired is None else self.unpaired[unpaired]
        groups, text_ids = self.groups[keep], self.text_ids[keep]
        return PairTable(texts, rows, mirrored, groups, text_ids, self.also_relevant, others, self.judged_wrong)

    def gallery(self) -> tuple[Int64, Int64]:
        """Store row, ascending, and group of every image once: of the pairs and of those that no pair shows."""
        rows = np.concatenate([self.rows, self.unpaired[:, 0]])
        rows, first = np.unique(rows, return_index=True)
        return rows, np.concatenate([self.groups, self.unpaired[:, 1]])[first]

    def is_relevant(self, text_of: int, image_of: int) -> bool:
        """Whether pair ``text_of``'s text is a right one for pair ``image_of``'s image."""
        wanted = int(self.text_ids[text_of]) * self._stride + int(self.groups[image_of])
        place = int(np.searchsorted(self._relevant_keys, wanted))
        return place < len(self._relevant_keys) and int(self._relevant_keys[place]) == wanted

    def same(self, pairs: Sequence[int]) -> NDArray[np.bool_]:
        """bool [k,k]: True where either pair's text is right for the other's image."""
        relevant = self.relevant(pairs, pairs)
        return relevant | relevant.T

    def relevant(self, texts_of: Sequence[int] | Int64, images_of: Sequence[int] | Int64) -> NDArray[np.bool_]:
        """bool [k,m]: whether the text of each first pair is a right one for the image of each second."""
        return self.relevant_to_groups(texts_of, self.groups[np.asarray(images_of, dtype=np.int64)])

    def relevant_to_groups(self, texts_of: Sequence[int] | Int64, groups: Int64) -> NDArray[np.bool_]:
        """bool [k,m]: whether the text of each pair is a right one for the images of each group."""
        texts = np.asarray(texts_of, dtype=np.int64)
        wanted = self.text_ids[texts][:, None] * self._stride + groups[None, :]
        place = np.searchsorted(self._relevant_keys, wanted).clip(max=len(self._relevant_keys) - 1)
        relevant: NDArray[np.bool_] = self._relevant_keys[place] == wanted
        return relevant

    @cached_property
    def _stride(self) -> int:
        others = self.also_relevant[:, 1].max(initial=0), self.unpaired[:, 1].max(initial=0)
        return int(max(self.groups.max(initial=0), *others)) + 1

    @cached_property
    def _relevant_keys(self) -> NDArray[np.int64]:
        texts, groups = self.also_relevant.T
        pairs = (self.text_ids * self._stride + self.groups, texts * self._stride + groups)
        return np.unique(np.concatenate(pairs))


class _Judged:
    """Places among the captions and hashes of texts, judged together."""

    def __init__(self) -> None:
        self._rows = array("q")

    def add(self, place: int, text: int) -> None:
        self._rows.extend((place, text))

    def known(self, hashes: Int64, text_ids: Int64, group_of: Int64) -> Int64:
        """[m,2] text ids and groups of what was added, of texts that the table has.

        Args:
            hashes, text_ids: [n] of the table's pairs.
            group_of: group of each place.
        """
        places, texts = np.frombuffer(self._rows, dtype=np.int64).reshape(-1, 2).T
        known, first = np.unique(hashes, return_index=True)
        at = np.searchsorted(known, texts).clip(max=max(len(known) - 1, 0))
        there = known[at] == texts
        return np.stack([text_ids[first[at[there]]], group_of[places[there]]], axis=1)


class _Columns:
    """Numbers of the pairs, as they are read."""

    def __init__(self) -> None:
        self._pairs = array("q")
        self._mirrors = array("q")
        self.also_relevant = _Judged()
        self.judged_wrong = _Judged()
        self._unpaired = array("q")

    def add_unpaired(self, row: int, place: int) -> None:
        self._unpaired.extend((row, place))

    def unpaired(self, group_of: Int64) -> Int64:
        """[m,2] store row and group of the images without a pair.

        Args:
            group_of: group of each place.
        """
        rows, places = np.frombuffer(self._unpaired, dtype=np.int64).reshape(-1, 2).T
        return np.stack([rows, group_of[places]], axis=1)

    def add_pair(self, row: int, place: int, image: int, text: int) -> None:
        self._pairs.extend((row, place, image, text))

    def add_mirror(self, image: int, row: int) -> None:
        self._mirrors.extend((image, row))

    def arrays(self) -> tuple[Int64, Int64, Int64, Int64]:
        """Store row, place among the captions, hash of the image's id and of the normal text, [n] each."""
        rows, places, images, texts = np.frombuffer(self._pairs, dtype=np.int64).reshape(-1, 4).T
        return rows.copy(), places, images, texts

    def mirrored(self, images: Int64) -> Int64:
        """[n] row of each image's mirror image, -1 when there is none."""
        found = np.full(len(images), -1, dtype=np.int64)
        if self._mirrors:
            ids, rows = np.frombuffer(self._mirrors, dtype=np.int64).reshape(-1, 2).T
            order = np.argsort(ids, kind="stable")
            place = np.searchsorted(ids[order], images).clip(max=len(ids) - 1)
            there = ids[order][place] == images
            found[there] = rows[order][place[there]]
        return found


def _texts(
    captions: Iterable[CaptionRow],
    fields: set[str] | None,
    groups: Groups,
    columns: _Columns,
    known: set[str],
    judged: QrelsTexts | None,
) -> Iterator[str]:
    """Texts of all pairs; what else is known of them goes into ``groups``, ``columns`` and ``known``, as it is read.

    ``fields`` None takes no text of the store.
    """
    for place, one in enumerate(captions):
        # rows that share an image id, product id or image file are one group
        keys = (("image", one.image_id), ("product", one.product_id), ("file", one.digest))
        groups.add(key for key in keys if key[1])
        image = hash(one.image_id)
        known.update(one.text_fields)
        if one.view == 1:
            columns.add_mirror(image, one.row)
        if one.view != 0:
            continue
        texts = (
            []
            if fields is None
            else [
                text for text, column in zip(one.texts, one.text_fields, strict=True) if not fields or column in fields
            ]
        )
        if judged is not None:
            queries = judged.queries(one)
            for part, judged_texts in (
                (columns.also_relevant, queries.somewhat),
                (columns.judged_wrong, queries.wrong),
            ):
                for text in judged_texts:
                    part.add(place, hash(normal_text(text)))
            own = {normal_text(text) for text in texts}
            texts += [query for query in queries.relevant if normal_text(query) not in own]
        if not texts:
            columns.add_unpaired(one.row, place)
        for text in texts:
            columns.add_pair(one.row, place, image, hash(normal_text(text)))
            yield text


def _by_first(hashes: Int64) -> Int64:
    """Equal numbers for equal hashes, counted in the order in which they first come."""
    _, first, inverse = np.unique(hashes, return_index=True, return_inverse=True)
    number = np.empty(len(first), dtype=np.int64)
    number[np.argsort(first, kind="stable")] = np.arange(len(first))
    return number[inverse]
