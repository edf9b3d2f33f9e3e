"""The stages of a search that use the model, over many queries at once.

Shapes: n candidates, T text parts, R image tokens, H hidden size, D vector size.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from interbert.errors import DataError, InterBertError, UnknownProductError, VectorIndexError
from interbert.search.hits import Index
from interbert.search.index import ProductIndex
from interbert.search.query import Candidates, Encoded, Query, require_possible
from interbert.search.ranking import recalled_scores, require_columns, require_vectors
from interbert.search.versions import View
from interbert.utils.finite import require_finite

Float32 = NDArray[np.float32]
Scores = Float32 | None | InterBertError
"""Log-odds [T,n] of one query's texts and candidates; None where the joint model scores nothing."""

_TOKENS = 131_072
"""Image tokens of a joint pass: with H 384 they take 200 MB."""


def encode(view: View, queries: Sequence[Query]) -> list[Encoded | InterBertError]:
    """Token ids and vectors of queries, or what is wrong with each."""
    checked = [_token_ids(view, query) for query in queries]
    sound = [ids for ids in checked if not isinstance(ids, InterBertError)]
    vectors = iter(view.encoder.text_vectors([ids for of_query in sound for ids in of_query]))
    encoded: list[Encoded | InterBertError] = []
    for query, ids in zip(queries, checked, strict=True):
        if isinstance(ids, InterBertError):
            encoded.append(ids)
        else:
            lines = [next(vectors) if part.vector is None else part.vector for part in query.parts]
            encoded.append(Encoded(query, ids, np.stack(lines).astype(np.float32, copy=False)))
    return encoded


def _token_ids(view: View, query: Query) -> list[list[int]] | InterBertError:
    """Token ids of a query's texts once everything about it is known to be possible."""
    try:
        require_possible(query)
        if len(query.texts) < len(query.parts) or not query.rerank or query.candidates < view.size:
            view.encoder.require_recall()
        require_vectors(query, view.encoder.vector_size)
        require_columns(view.index, query)
        if isinstance(view.index, ProductIndex):
            view.index.condition(query.where)
        return view.encoder.token_ids(query.texts)
    except InterBertError as error:
        return error


def rerank(view: View, candidates: Sequence[Candidates], progress: Callable[[int], None] | None = None) -> list[Scores]:
    """Joint scores of the pairs of all queries, in passes of a bounded number of image tokens.

    Args:
        view: the version that was searched.
        candidates: of each query.
        progress: told how many pairs were scored.
    """
    scores: list[Scores] = [None] * len(candidates)
    wanted = [place for place, one in enumerate(candidates) if one.encoded.query.scored]
    for part in _parts([candidates[place] for place in wanted]):
        chosen = [wanted[place] for place in part]
        for place, found in zip(chosen, _joint(view, [candidates[place] for place in chosen], progress), strict=True):
            scores[place] = found
    return scores


def _parts(candidates: Sequence[Candidates]) -> Iterator[list[int]]:
    """Places of queries that are scored in one pass."""
    part: list[int] = []
    tokens = 0
    for place, one in enumerate(candidates):
        own = sum(len(hit.tokens) for hit in one.hits if hit.tokens is not None)
        if part and tokens + own > _TOKENS:
            yield part
            part, tokens = [], 0
        part.append(place)
        tokens += own
    if part:
        yield part


def _joint(
    view: View, candidates: Sequence[Candidates], progress: Callable[[int], None] | None
) -> Iterator[Float32 | InterBertError]:
    """Log-odds [T,n] of each query: joint pass and recall, as the model mixes them."""
    tokens: list[Float32] = []
    places: dict[str, int] = {}  # an image that several queries found is padded once
    texts: list[list[int]] = []
    text_of: list[int] = []
    image_of: list[int] = []
    for one in candidates:
        mine = []
        for hit in one.read:
            if hit.id not in places:
                places[hit.id] = len(places)
                tokens.append(hit.tokens)  # type: ignore[arg-type]
            mine.append(places[hit.id])
        for ids in one.encoded.ids:
            text_of += [len(texts)] * len(mine)
            image_of += mine
            texts.append(ids)
        if progress is not None:
            progress(len(one.encoded.ids) * (len(one.hits) - len(mine)))
    found = np.empty(0, np.float32)
    if text_of:
        found = view.encoder.scorer.pairs(texts, tokens, np.array(text_of, int), np.array(image_of, int), progress)
    start = 0
    for one in candidates:
        stop = start + len(one.encoded.ids) * len(one.read)
        try:
            yield _mixed(view, one, found[start:stop])
        except DataError as error:
            yield error
        start = stop


def _mixed(view: View, one: Candidates, read: Float32) -> Float32:
    """Log-odds [T,n] of a query by the joint scores [T * n'] of the candidates that were read.

    Raises:
        DataError: a score is not finite.
    """
    named = [place for place, part in enumerate(one.encoded.query.parts) if part.text is not None]
    joint = np.full((len(one.encoded.ids), len(one.hits)), view.encoder.unread_score, np.float32)
    joint[:, [hit.tokens is not None for hit in one.hits]] = read.reshape(len(joint), len(one.read))
    return require_finite(joint + recalled_scores(one)[named] * np.float32(view.encoder.recall_weight))


def product_query(view: View, product_id: str) -> Float32:
    """A product as a query [D] for products like it: the mean of its images, hub correction left out.

    Raises:
        UnknownProductError: it is not in the index.
    """
    vectors = _product_vectors(view.index, product_id)
    query: Float32 = view.encoder.image_query(vectors.mean(axis=0, keepdims=True))[0]
    return query


def _product_vectors(index: Index, product_id: str) -> Float32:
    """Vectors [n,D] of a product's images."""
    if isinstance(index, ProductIndex):
        found = index.by_ids([product_id], ["picture_id"], "product_id")
        ids = sorted(name for rows in found for name in rows["picture_id"].to_pylist())
        if not ids:
            raise UnknownProductError(f"there is no product {product_id[:80]!r} in the index.")
        return index.vectors(ids)
    from interbert.search.source_index import SourceIndex

    assert isinstance(index, SourceIndex)
    try:
        return index.vectors(index.images_of(product_id))
    except VectorIndexError as error:
        raise UnknownProductError(str(error)) from error
