"""Nearest neighbours of texts and of vectors among hundreds of thousands, a part of them in memory at a time.

Shapes: n texts or vectors, D size of a vector, F region feature size.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from interbert.data.texts import words_of
from interbert.errors import SourceError
from interbert.utils.row_file import Float32, Int64, Rows, blocks_of

Int32 = NDArray[np.int32]

_BLOCK_SCORES = 4_000_000
"""Similarities that are held at once."""
_MOST_AT_ONCE = 512
_PROJECTED = 256
_SHARD = 50_000
"""Neighbours of larger sets are looked for inside random parts of this size: all against all would take days."""


def text_neighbours(texts: Sequence[str], count: int) -> Int32:
    """Indices [n,count] of the most similar other texts by TF-IDF cosine, best first."""
    vectors_of = _tfidf(texts)

    def within(part: Int64) -> Int32:
        chosen = vectors_of(part)
        other = chosen.T.tocsr()
        return _blockwise(len(part), lambda some: (chosen[some] @ other).toarray(), count)

    return _by_shards(len(texts), count, within)


def _tfidf(texts: Sequence[str]) -> Callable[[Int64], Any]:
    """A function that gives the TF-IDF vectors of some of the texts, a sparse matrix f32 [k,words] of unit rows.

    Vectors of all texts would take a kilobyte each, where texts are long.
    """
    from sklearn.feature_extraction.text import TfidfVectorizer

    texts_with: Counter[str] = Counter()
    for text in texts:
        texts_with.update(set(words_of(text)))
    if not texts_with:
        raise SourceError("no text holds a word, so none is like another. Leave hard negatives out: hard_share 0.")
    words = sorted(texts_with)
    counts = np.fromiter((texts_with[word] for word in words), dtype=np.float64, count=len(words))
    del texts_with
    vectorizer = TfidfVectorizer(analyzer=words_of, dtype=np.float32, vocabulary=words)
    vectorizer.idf_ = np.log((1 + len(texts)) / (1 + counts)) + 1
    return lambda part: vectorizer.transform(texts[int(index)] for index in part)


def vector_neighbours(queries: Rows, candidates: Rows, count: int) -> Int32:
    """Indices [n,count] of the candidates [n,D] most similar to queries [n,D] by inner product, never one's own."""

    def within(part: Int64) -> Int32:
        asked = queries[part]
        offered = asked if candidates is queries else candidates[part]
        return _blockwise(len(part), lambda some: asked[some] @ offered.T, count)

    return _by_shards(len(queries), count, within)


def _by_shards(total: int, count: int, within: Callable[[Int64], Int32], shard: int | None = None) -> Int32:
    """Neighbours [total, <=count] that ``within`` finds inside parts of at most ``shard`` indices."""
    parts = -(-total // (shard or _SHARD))
    if parts <= 1:
        return within(np.arange(total, dtype=np.int64))
    order = np.random.default_rng(0).permutation(total)
    found = np.empty((total, min(count, total // parts - 1)), dtype=np.int32)
    for part in np.array_split(order, parts):
        found[part] = part[within(part)][:, : found.shape[1]]
    return found


def _blockwise(total: int, similarity: Callable[[slice], NDArray[np.floating]], count: int) -> Int32:
    """Neighbours [total, <=count] by rows of similarities, as many at once as memory is meant for."""
    size = min(_MOST_AT_ONCE, max(1, _BLOCK_SCORES // max(1, total)))
    found = np.empty((total, max(0, min(count, total - 1))), dtype=np.int32)
    for start in range(0, total, size):
        some = slice(start, min(start + size, total))
        found[some] = _best(similarity(some), start, count)
    return found


def image_vectors(pooled: Rows, seed: int = 0) -> Iterator[tuple[Int64, Float32]]:
    """Unit vectors [n,<=256] of mean region features [n,F], in blocks with the numbers of their rows.

    They are standardised, and randomly projected when wide.
    """
    mean, deviation = _statistics(pooled)
    size, projection = pooled.shape[1], None
    if size > _PROJECTED:
        projection = np.random.default_rng(seed).standard_normal((size, _PROJECTED), dtype=np.float32)
    for rows, features in blocks_of(pooled):
        standard = (features - mean) / deviation
        if projection is not None:
            standard = standard @ projection
        unit: Float32 = standard / np.linalg.norm(standard, axis=1, keepdims=True).clip(min=1e-6)
        yield rows, unit


def _statistics(rows: Rows) -> tuple[Float32, Float32]:
    """Mean and standard deviation (at least 1e-3) of each column, f32 [D]."""
    total = np.zeros(rows.shape[1])
    for _, block in blocks_of(rows):
        total += block.sum(axis=0, dtype=np.float64)
    mean = total / len(rows)
    squares = np.zeros(rows.shape[1])
    for _, block in blocks_of(rows):
        squares += np.square(block - mean.astype(np.float32)).sum(axis=0, dtype=np.float64)
    return mean.astype(np.float32), np.sqrt(squares / len(rows)).clip(min=1e-3).astype(np.float32)


def _best(similarity: NDArray[np.floating], start: int, count: int) -> Int32:
    rows = np.arange(len(similarity))
    similarity[rows, rows + start] = -np.inf
    count = min(count, similarity.shape[1] - 1)
    if count < 1:
        return np.zeros((len(similarity), 0), dtype=np.int32)
    top = np.argpartition(-similarity, count - 1, axis=1)[:, :count]
    order = np.argsort(-similarity[rows[:, None], top], axis=1, kind="stable")
    return top[rows[:, None], order].astype(np.int32)
