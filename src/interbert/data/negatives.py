"""Wrong captions and wrong pictures for a pair: random ones, and hard ones from pools of neighbours.

Pools are mined by text similarity (TF-IDF), by picture similarity (mean region features), or by the vectors of a
dual encoder. A negative is never right: never a caption of the same picture or product, never an identical caption.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import pairwise
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from interbert.data.pairs import PairTable
from interbert.errors import SourceError

Float32 = NDArray[np.float32]
Int64 = NDArray[np.int64]

_BLOCK = 512
_TRIES = 100
_PROJECTED = 256
_CJK = "\u3400-\u9fff\uf900-\ufaff"
_WORD = re.compile(rf"[{_CJK}]|[^\W_{_CJK}]+")


def words_of(text: str) -> list[str]:
    """Terms of a text for TF-IDF: words of alphabetic scripts, characters and character pairs of Chinese."""
    words = _WORD.findall(text.casefold())
    pairs = [a + b for a, b in pairwise(words) if _is_cjk(a) and _is_cjk(b)]
    return words + pairs


def _is_cjk(word: str) -> bool:
    return re.fullmatch(f"[{_CJK}]", word) is not None


def text_neighbours(texts: Sequence[str], count: int) -> Int64:
    """Indices [n,count] of the most similar other texts by TF-IDF cosine, best first."""
    from sklearn.feature_extraction.text import TfidfVectorizer

    if not any(words_of(text) for text in texts):
        raise SourceError("no text holds a word, so none is like another. Leave hard negatives out: hard_share 0.")
    vectors = TfidfVectorizer(analyzer=words_of, dtype=np.float32).fit_transform(texts)
    blocks = []
    for start in range(0, len(texts), _BLOCK):
        similarity = (vectors[start : start + _BLOCK] @ vectors.T).toarray()
        blocks.append(_best(similarity, start, count))
    return np.concatenate(blocks)


def vector_neighbours(queries: Float32, candidates: Float32, count: int) -> Int64:
    """Indices [n,count] of the candidates [n,D] most similar to queries [n,D] by inner product, never one's own."""
    blocks = [
        _best(queries[start : start + _BLOCK] @ candidates.T, start, count) for start in range(0, len(queries), _BLOCK)
    ]
    return np.concatenate(blocks)


def picture_vectors(pooled: Float32, seed: int = 0) -> Float32:
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


class Negatives:
    """Draws wrong captions and pictures for the pairs of a table.

    Args:
        table: the pairs.
        caption_pools: [n,k] arrays of pairs whose caption is hard for pair i's picture; each is one kind of hard.
        picture_pools: [n,k] arrays of pairs whose picture is hard for pair i's caption.
    """

    def __init__(
        self, table: PairTable, caption_pools: Sequence[Int64] = (), picture_pools: Sequence[Int64] = ()
    ) -> None:
        self.table = table
        self._pools: dict[str, tuple[Int64, ...]] = {
            "caption": tuple(caption_pools),
            "picture": tuple(picture_pools),
        }

    @classmethod
    def mined(cls, table: PairTable, pooled: Float32 | None, pool_size: int = 32) -> Negatives:
        """Pools by TF-IDF neighbours of the texts and, given mean region features [rows,F], picture neighbours."""
        pools = [text_neighbours(table.texts, pool_size)]
        if pooled is not None:
            vectors = picture_vectors(pooled)[table.rows]
            pools.append(vector_neighbours(vectors, vectors, pool_size))
        return cls(table, pools, pools)

    @classmethod
    def from_vectors(cls, table: PairTable, texts: Float32, pictures: Float32, pool_size: int = 32) -> Negatives:
        """Pools by a dual encoder's vectors of the pairs' texts [n,D] and pictures [n,D]."""
        return cls(
            table,
            [vector_neighbours(pictures, texts, pool_size)],
            [vector_neighbours(texts, pictures, pool_size)],
        )

    def draw(self, pair: int, side: Literal["caption", "picture"], hard: bool, generator: np.random.Generator) -> int:
        """Another pair whose caption (or picture) is wrong for this pair's picture (or caption).

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
            for other in generator.permutation(pool)[:_TRIES]:
                if self._wrong(pair, int(other), side):
                    return int(other)
        for _ in range(_TRIES):
            other = int(generator.integers(len(self.table)))
            if self._wrong(pair, other, side):
                return other
        wrong = [other for other in range(len(self.table)) if self._wrong(pair, other, side)]
        if not wrong:
            raise SourceError(
                f"no other {side} is wrong for {self.table.texts[pair]!r}: all pairs share its picture or its text. "
                "Training needs at least two different pictures with different texts."
            )
        return int(generator.choice(wrong))

    def _wrong(self, pair: int, other: int, side: str) -> bool:
        if side == "caption":
            return not self.table.is_right(text_of=other, picture_of=pair)
        return not self.table.is_right(text_of=pair, picture_of=other)
