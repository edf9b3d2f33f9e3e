"""The ranking of a query's candidates, and the page of it that was asked for.

Shapes: n candidates, P parts, T text parts, D vector size.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from interbert.errors import ColumnError, UsageError
from interbert.search.hits import Hit, Index, deduplicated, joined_by_product, ranked, reciprocal_ranks, standardised
from interbert.search.index import ProductIndex
from interbert.search.query import Candidates, Found, Query, shares

Float32 = NDArray[np.float32]
Floats = NDArray[Any]


def recalled_scores(candidates: Candidates) -> Float32:
    """Inner products [P,n] of a query's parts and its candidates."""
    if not candidates.hits:
        return np.zeros((len(candidates.encoded.vectors), 0), np.float32)
    images = np.stack([hit.vector for hit in candidates.hits])
    return np.stack([images @ vector for vector in candidates.encoded.vectors])


def page(query: Query, candidates: Candidates, scores: Float32 | None, size: int) -> Found:
    """The page that a query asks for.

    Args:
        query: whose candidates these are, or one that differs in what comes after them.
        candidates: recalled.
        scores: log-odds [T,n] of a match of its texts; None ranks by recall and leaves probabilities out.
        size: so many numbers of a vector say what an image shows.
    """
    hits = candidates.hits
    if not hits:
        return Found([], 0, {name: [] for name in query.facets})
    order, probability = _ordered(candidates, scores)
    best = sorted(range(len(hits)), key=lambda place: (-float(order[place]), hits[place].id))
    if probability is not None and query.min_probability is not None:
        best = [place for place in best if probability[place] >= query.min_probability]
    groups = [
        [best[place] for place in group]
        for group in deduplicated([hits[place].vector for place in best], size, query.duplicates)
    ]
    groups = joined_by_product(groups, [hit.product_id for hit in hits])
    if query.sort is not None:
        groups = _sorted(groups, hits, *query.sort)
    shown = groups[query.offset : query.offset + query.top_k]
    results = [replace(hit, rank=query.offset + hit.rank) for hit in ranked(shown, hits, order, probability)]
    return Found(results, len(groups), {name: _counts([hits[place] for place in best], name) for name in query.facets})


def _sigmoid(scores: Floats) -> Floats:
    """Log-odds as probabilities; SciPy's function of it takes longer to import than a query to answer."""
    probabilities: Floats = 1 / (1 + np.exp(-scores.clip(-80, 80)))
    return probabilities


def _ordered(candidates: Candidates, scores: Float32 | None) -> tuple[Floats, Floats | None]:
    """What candidates are ordered by [n], and the probabilities [n] of a match where they are computed."""
    query = candidates.encoded.query
    lines: list[Floats] = list(recalled_scores(candidates))
    texts = [place for place, part in enumerate(query.parts) if part.text is not None]
    weights = np.array([part.weight for part in query.parts], np.float64)
    probability = None
    if scores is not None and texts:
        for place, line in zip(texts, scores, strict=True):
            lines[place] = line
        probability = _sigmoid(shares(weights[texts]) @ scores if len(texts) > 1 else scores[0])
    order = lines[0]
    if len(lines) > 1:
        weighted = zip(weights / weights.sum(), lines, strict=True)
        order = np.sum([weight * standardised(line) for weight, line in weighted], axis=0)
    if any(candidates.titles):
        order = _fused(order, candidates, shares(weights[texts]))
    return order, probability


def _fused(order: Floats, candidates: Candidates, weights: Floats) -> Floats:
    """The order and the full-text searches of all texts, each with its weight, by reciprocal rank fusion."""
    found: list[Floats] = [
        weight * reciprocal_ranks(order, [titles.get(hit.product_id) for hit in candidates.hits])
        for weight, titles in zip(weights, candidates.titles, strict=True)
    ]
    fused: Floats = np.sum(found, axis=0)
    return fused


def require_columns(index: Index, query: Query) -> None:
    """Check the columns that results are sorted and counted by.

    Raises:
        ColumnError: the catalogue has no such column.
    """
    names = [column.name for column in index.metadata_columns] if isinstance(index, ProductIndex) else []
    where = index.path if isinstance(index, ProductIndex) else "the images of a source"
    for name in (*query.facets, *(() if query.sort is None else query.sort[:1])):
        if name not in names:
            raise ColumnError.missing(name, names, where)


def _value(hit: Hit, column: str) -> Any:
    """What a column says of a product; None for nothing, no number and an empty list."""
    value = hit.metadata.get(column)
    return None if value == [] or (isinstance(value, float) and math.isnan(value)) else value


def _sorted(groups: Sequence[list[int]], hits: Sequence[Hit], column: str, descending: bool) -> list[list[int]]:
    """Groups by a column of their best, those without a value last; of equal ones the more relevant first."""
    there = [group for group in groups if _value(hits[group[0]], column) is not None]
    absent = [group for group in groups if _value(hits[group[0]], column) is None]
    there.sort(key=lambda group: _value(hits[group[0]], column), reverse=descending)  # stable in both directions
    return there + absent


def _counts(hits: Sequence[Hit], column: str) -> list[tuple[Any, int]]:
    """Values with numbers of products, most frequent first, then in order; of a list each member counts."""
    counts: Counter[Any] = Counter()
    for hit in hits:
        value = _value(hit, column)
        counts.update(set(value) if isinstance(value, list) else [] if value is None else [value])
    return sorted(counts.items(), key=lambda pair: (-pair[1], pair[0]))


def require_vectors(query: Query, size: int) -> None:
    """Check that the vectors of a query are of the model.

    Raises:
        UsageError: one has another size, or a number that is not finite.
    """
    for part in query.parts:
        if part.vector is not None and (part.vector.shape != (size,) or not np.isfinite(part.vector).all()):
            raise UsageError(f"search: a vector of the query must have {size} finite numbers.")
