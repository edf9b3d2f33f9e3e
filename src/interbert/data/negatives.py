"""Wrong captions and wrong images for a pair: random ones, and hard ones from pools of neighbours.

Pools are mined by text similarity (TF-IDF), by image similarity (mean region features), or by the vectors of a
dual encoder; or they are what judgements call wrong. A negative is never right: never a caption of the same image or
product, never an identical caption, nor one that says nearly the same.
"""

from __future__ import annotations

import operator
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load_file, save_file

from interbert.data.neighbours import image_vectors, text_neighbours, vector_neighbours
from interbert.data.pairs import PairTable
from interbert.data.texts import NearSame
from interbert.errors import SourceError
from interbert.utils.files import replacing
from interbert.utils.row_file import Chosen, Int64, RowFile, Rows

Pool = NDArray[np.signedinteger[Any]]

POOL_SIZE = 32
"""Neighbours of a pair that hard negatives are drawn from: near enough to be hard, many enough to differ by epoch."""
_TRIES = 100
_BOTH = "both"
"""In a file of pools, those that are for captions and images."""


def _pair_of(values: Int64, wanted: Int64) -> Int64:
    """[m] for each wanted value a pair that has it, -1 for none."""
    known, first = np.unique(values, return_index=True)
    at = np.searchsorted(known, wanted).clip(max=len(known) - 1)
    return np.where(known[at] == wanted, first[at], -1)


def _listed(keys: Int64, key_of: Int64, pair_of: Int64, most: int = POOL_SIZE) -> Int64:
    """[n,k] pairs that are listed for each pair's key, at most ``most``; -1 where there are fewer.

    Args:
        keys: [n] of the pairs.
        key_of, pair_of: [m] a key, and a pair that is listed for it; -1 is none.
    """
    listed = np.flatnonzero(pair_of >= 0)
    order = listed[np.argsort(key_of[listed], kind="stable")]
    first, last = (np.searchsorted(key_of[order], keys, side=side) for side in ("left", "right"))
    width = int(min((last - first).max(initial=0), most))
    places = first[:, None] + np.arange(width)
    there = places < last[:, None]
    pools: Int64 = np.where(there, pair_of[order][places.clip(max=max(len(order) - 1, 0))], -1) if width else places
    return pools


class Negatives:
    """Draws wrong captions and images for the pairs of a table.

    Args:
        table: the pairs.
        caption_pools: [n,k] arrays of pairs whose caption is hard for pair i's image, -1 for none; each is one kind of
            hard.
        image_pools: [n,k] arrays of pairs whose image is hard for pair i's caption.
        near_same: share of common words from which two texts are no negatives of each other; None asks for identity.
    """

    def __init__(
        self,
        table: PairTable,
        caption_pools: Sequence[Pool] = (),
        image_pools: Sequence[Pool] = (),
        near_same: float | None = None,
    ) -> None:
        self.table = table
        self._near_same = None if near_same is None else NearSame(table.texts, near_same)
        self._pools: dict[str, tuple[Pool, ...]] = {
            "caption": tuple(caption_pools),
            "image": tuple(image_pools),
        }

    @classmethod
    def mined(
        cls,
        table: PairTable,
        pooled: Rows | None,
        pool_size: int = POOL_SIZE,
        near_same: float | None = None,
        folder: Path | None = None,
    ) -> Negatives:
        """Pools by TF-IDF neighbours of the texts and, given mean region features [rows,F], image neighbours.

        The images' vectors lie in a file in ``folder`` meanwhile, a kilobyte each; in the system's folder for such
        files when not given.
        """
        pools = [text_neighbours(table.texts, pool_size)]
        if pooled is not None:
            of_rows = RowFile.of(folder or Path(tempfile.gettempdir()), len(pooled), image_vectors(pooled))
            vectors = Chosen(of_rows, table.rows)
            pools.append(vector_neighbours(vectors, vectors, pool_size))
        return cls(table, pools, pools, near_same)

    @classmethod
    def from_vectors(
        cls,
        table: PairTable,
        texts: Rows,
        images: Rows,
        pool_size: int = POOL_SIZE,
        near_same: float | None = None,
    ) -> Negatives:
        """Pools by a dual encoder's vectors of the pairs' texts [n,D] and images [n,D]."""
        captions, others = vector_neighbours(images, texts, pool_size), vector_neighbours(texts, images, pool_size)
        return cls(table, [captions], [others], near_same)

    @classmethod
    def judged(cls, table: PairTable, near_same: float | None = None) -> Negatives:
        """Pools of what was judged and found wrong for a pair: grade 0 of qrels.

        Raises:
            SourceError: nothing was.
        """
        texts, groups = table.judged_wrong.T
        captions = _listed(table.groups, groups, _pair_of(table.text_ids, texts))
        images = _listed(table.text_ids, texts, _pair_of(table.groups, groups))
        if not captions.size and not images.size:
            raise SourceError(
                "no judgement has grade 0, so none says what is wrong. Add such rows, or set negatives.mine to 'model'."
            )
        return cls(table, [captions], [images], near_same)

    def save(self, file: Path) -> None:
        """Write the pools: mining them again takes minutes.

        Raises:
            StorageError: the disk is full or not writable.
        """
        captions, images = self._pools["caption"], self._pools["image"]
        same = len(captions) == len(images) and all(map(operator.is_, captions, images))
        sides = {_BOTH: captions} if same else self._pools
        arrays = {f"{side} {kind}": pool for side, pools in sides.items() for kind, pool in enumerate(pools)}
        with replacing(file) as part:
            # safetensors writes the memory of an array as it lies, whatever its order is
            save_file({name: array.astype(np.int32, order="C", copy=False) for name, array in arrays.items()}, part)

    @classmethod
    def load(cls, table: PairTable, file: Path, near_same: float | None = None) -> Negatives:
        """Pools that :meth:`save` wrote for the same table."""
        arrays = load_file(file)
        pools = {
            side: [arrays[name] for name in sorted(arrays) if name.startswith((f"{side} ", f"{_BOTH} "))]
            for side in ("caption", "image")
        }
        return cls(table, pools["caption"], pools["image"], near_same)

    def draw(self, pair: int, side: Literal["caption", "image"], hard: bool, generator: np.random.Generator) -> int:
        """Another pair whose caption (or image) is wrong for this pair's image (or caption).

        Args:
            pair: index in the table.
            side: which side the other pair lends.
            hard: from a pool of neighbours; when none of it is wrong enough, a random one after all.
            generator: the sample's own.

        Raises:
            SourceError: everything in the table is right for this pair.
        """
        pools = self._pools[side]
        if hard and pools:
            pool = pools[int(generator.integers(len(pools)))][pair]
            for other in generator.permutation(pool[pool >= 0])[:_TRIES]:
                if self._is_negative(pair, int(other), side):
                    return int(other)
        for _ in range(_TRIES):
            other = int(generator.integers(len(self.table)))
            if self._is_negative(pair, other, side):
                return other
        wrong = [other for other in range(len(self.table)) if self._is_negative(pair, other, side)]
        if not wrong:
            raise SourceError(
                f"no other {side} is wrong for {self.table.texts[pair]!r}: all pairs share its image or its text. "
                "Training needs at least two different images with different texts."
            )
        return int(generator.choice(wrong))

    def _is_negative(self, pair: int, other: int, side: str) -> bool:
        if self._near_same is not None and self._near_same(pair, other):
            return False
        if side == "caption":
            return not self.table.is_relevant(text_of=other, image_of=pair)
        return not self.table.is_relevant(text_of=pair, image_of=other)


def hard_share(step: int, random_until: int, full_from: int, largest: float) -> float:
    """Share of hard negatives at a step: none before ``random_until``, then rising to ``largest`` at ``full_from``.

    Hard negatives from the first step keep the matching head at its chance value: random ones teach it first.
    """
    if step < random_until or largest <= 0:
        return 0.0
    if step >= full_from:
        return largest
    return largest * (step - random_until + 1) / (full_from - random_until + 1)
