"""Wrong captions and wrong images for a pair: random ones, and hard ones from pools of neighbours.

Pools are mined by text similarity (TF-IDF), by image similarity (mean region features), or by the vectors of a
dual encoder; or they are what judgements call wrong. A negative is never right: never a caption of the same image or
product, never an identical caption, nor one that says nearly the same.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load_file, save_file

from interbert.data.pairs import PairTable
from interbert.data.texts import NearSame, words_of
from interbert.errors import SourceError
from interbert.utils.files import replacing

Float32 = NDArray[np.float32]
Int64 = NDArray[np.int64]

POOL_SIZE = 32
"""Neighbours of a pair that hard negatives are drawn from: near enough to be hard, many enough to differ by epoch."""
_BLOCK = 512
_TRIES = 100
_PROJECTED = 256
_SHARD = 50_000
"""Neighbours of larger sets are looked for inside random parts of this size: all against all would take days."""


def text_neighbours(texts: Sequence[str], count: int) -> Int64:
    """Indices [n,count] of the most similar other texts by TF-IDF cosine, best first."""
    from sklearn.feature_extraction.text import TfidfVectorizer

    if not any(words_of(text) for text in texts):
        raise SourceError("no text holds a word, so none is like another. Leave hard negatives out: hard_share 0.")
    vectors = TfidfVectorizer(analyzer=words_of, dtype=np.float32).fit_transform(texts)

    def within(part: Int64) -> Int64:
        chosen = vectors[part]
        return _blockwise(len(part), lambda start: (chosen[start : start + _BLOCK] @ chosen.T).toarray(), count)

    return _by_shards(len(texts), count, within)


def vector_neighbours(queries: Float32, candidates: Float32, count: int) -> Int64:
    """Indices [n,count] of the candidates [n,D] most similar to queries [n,D] by inner product, never one's own."""

    def within(part: Int64) -> Int64:
        asked, offered = queries[part], candidates[part]
        return _blockwise(len(part), lambda start: asked[start : start + _BLOCK] @ offered.T, count)

    return _by_shards(len(queries), count, within)


def _by_shards(total: int, count: int, within: Callable[[Int64], Int64], shard: int = _SHARD) -> Int64:
    """Neighbours [total, <=count] that ``within`` finds inside parts of at most ``shard`` indices."""
    parts = -(-total // shard)
    if parts <= 1:
        return within(np.arange(total, dtype=np.int64))
    order = np.random.default_rng(0).permutation(total)
    found = np.empty((total, min(count, total // parts - 1)), dtype=np.int64)
    for part in np.array_split(order, parts):
        found[part] = part[within(part)][:, : found.shape[1]]
    return found


def _blockwise(total: int, similarity: Callable[[int], NDArray[np.floating]], count: int) -> Int64:
    return np.concatenate([_best(similarity(start), start, count) for start in range(0, total, _BLOCK)])


def image_vectors(pooled: Float32, seed: int = 0) -> Float32:
    """Unit vectors [n,<=256] of mean region features [n,F]: standardised, randomly projected when wide."""
    standard = (pooled - pooled.mean(axis=0)) / pooled.std(axis=0).clip(min=1e-3)
    if standard.shape[1] > _PROJECTED:
        projection = np.random.default_rng(seed).standard_normal((standard.shape[1], _PROJECTED), dtype=np.float32)
        standard = standard @ projection
    unit: Float32 = standard / np.linalg.norm(standard, axis=1, keepdims=True).clip(min=1e-6)
    return unit


def _best(similarity: NDArray[np.floating], start: int, count: int) -> Int64:
    rows = np.arange(len(similarity))
    similarity[rows, rows + start] = -np.inf
    count = min(count, similarity.shape[1] - 1)
    if count < 1:
        return np.zeros((len(similarity), 0), dtype=np.int64)
    top = np.argpartition(-similarity, count - 1, axis=1)[:, :count]
    order = np.argsort(-similarity[rows[:, None], top], axis=1, kind="stable")
    return top[rows[:, None], order].astype(np.int64)


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
        caption_pools: Sequence[Int64] = (),
        image_pools: Sequence[Int64] = (),
        near_same: float | None = None,
    ) -> None:
        self.table = table
        self._near_same = None if near_same is None else NearSame(table.texts, near_same)
        self._pools: dict[str, tuple[Int64, ...]] = {
            "caption": tuple(caption_pools),
            "image": tuple(image_pools),
        }

    @classmethod
    def mined(
        cls, table: PairTable, pooled: Float32 | None, pool_size: int = POOL_SIZE, near_same: float | None = None
    ) -> Negatives:
        """Pools by TF-IDF neighbours of the texts and, given mean region features [rows,F], image neighbours."""
        pools = [text_neighbours(table.texts, pool_size)]
        if pooled is not None:
            vectors = image_vectors(pooled)[table.rows]
            pools.append(vector_neighbours(vectors, vectors, pool_size))
        return cls(table, pools, pools, near_same)

    @classmethod
    def from_vectors(
        cls,
        table: PairTable,
        texts: Float32,
        images: Float32,
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
        arrays = {f"{side} {kind}": pool for side, pools in self._pools.items() for kind, pool in enumerate(pools)}
        with replacing(file) as part:
            # safetensors writes the memory of an array as it lies, whatever its order is
            save_file({name: array.astype(np.int32, order="C") for name, array in arrays.items()}, part)

    @classmethod
    def load(cls, table: PairTable, file: Path, near_same: float | None = None) -> Negatives:
        """Pools that :meth:`save` wrote for the same table."""
        arrays = load_file(file)
        pools = {
            side: [arrays[name] for name in sorted(arrays) if name.startswith(f"{side} ")]
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
