"""What is asked of a search, and what its stages hand to each other: encoding, recall, the joint pass, the page.

Shapes: n candidates, P parts, T text parts, D vector size.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from interbert.errors import UsageError
from interbert.search.hits import Hit

Float32 = NDArray[np.float32]

CANDIDATES = 32
DUPLICATES = 0.995
FILL = 10


@dataclass(frozen=True)
class Part:
    """One part of a query: exactly one of a text and a vector."""

    text: str | None = None
    """What the image should show."""
    vector: Float32 | None = None
    """[D], of an image that results should look like, hub correction left out
    (:meth:`~interbert.search.query_encoder.ProductEncoder.image_query`)."""
    weight: float = 1.0
    """What it counts beside other parts, 0 or more."""
    synonyms: tuple[str, ...] = ()
    """Further wordings of a text that full text looks for (:class:`~interbert.search.rewriting.QueryRewriter`)."""


@dataclass(frozen=True)
class Query:
    """One search. Queries that differ in ``top_k`` and ``offset`` alone are pages of one ranking."""

    parts: tuple[Part, ...]
    where: str | None = None
    """A filter, such as ``price < 50`` (:mod:`interbert.search.filters`)."""
    top_k: int = 10
    """Results of a page, at most."""
    candidates: int = CANDIDATES
    """Products that each part, and the full text of each, recalls; the ranking is of these."""
    rerank: bool = True
    """Score candidates by the joint model; without, recall's order stays and there are no probabilities."""
    full_text: bool = True
    """Let full text find candidates and count (reciprocal rank fusion)."""
    duplicates: float | None = DUPLICATES
    """Products whose images' vectors have this cosine or more are one result; None keeps all."""
    min_probability: float | None = None
    """Products below are left out. Where the joint pass was left out for want of time nothing is."""
    sort: tuple[str, bool] | None = None
    """A column of the catalogue that results are put in order of, and whether the largest is first."""
    facets: tuple[str, ...] = ()
    """Columns whose values are counted over all products of the ranking, near-duplicates among them."""
    offset: int = 0
    """So many results of the ranking are on the pages before."""
    version: str | None = None
    """Of the index, as :attr:`interbert.search.engine.SearchEngine.version` has it; None is the newest."""
    exclude: tuple[str, ...] = ()
    """Products that are no results."""
    fill: int = FILL
    """Recall up to 16 times as many candidates where near-duplicates leave fewer results than this, and than half."""
    read_all: bool = False
    """Read every candidate jointly, also those that are too far below by the dual score to come first
    (:mod:`interbert.model.rerank_reach`); those count with an estimate otherwise."""

    @property
    def texts(self) -> tuple[str, ...]:
        """Of the text parts [T]."""
        return tuple(part.text for part in self.parts if part.text is not None)

    @property
    def is_text(self) -> bool:
        """Whether it is one text and nothing else."""
        return len(self.parts) == 1 and self.parts[0].text is not None

    @property
    def scored(self) -> bool:
        """Whether the joint model has something to score."""
        return self.rerank and bool(self.texts)


@dataclass(frozen=True)
class Encoded:
    """A query whose texts are encoded."""

    query: Query
    ids: list[list[int]]
    """Token ids of the text parts [T]."""
    vectors: Float32
    """[P,D]"""

    @property
    def nearness(self) -> Float32:
        """[D], which tells of several images of a product the one to show: the texts', or else the images' one."""
        chosen = [
            (part.weight, vector)
            for part, vector in zip(self.query.parts, self.vectors, strict=True)
            if (part.text is not None) == bool(self.ids)
        ]
        weights = np.array([weight for weight, _ in chosen], np.float32)
        mean: Float32 = shares(weights) @ np.stack([vector for _, vector in chosen])
        return mean


@dataclass(frozen=True)
class Candidates:
    """What a query's parts recalled: one image of each product, nearest first; of a source every image."""

    encoded: Encoded
    hits: list[Hit]
    """[n], with embedded tokens where the joint model is to read them."""
    titles: list[Mapping[str, int]]
    """For each text part [T] the place of products in its full-text search, from 0."""

    @property
    def read(self) -> list[Hit]:
        """Those that the joint model is to read."""
        return [hit for hit in self.hits if hit.tokens is not None]


@dataclass
class Found:
    """A page of results."""

    hits: list[Hit]
    total: int
    """Results of the ranking in all."""
    facets: dict[str, list[tuple[Any, int]]] = field(default_factory=dict)
    """For each column its values with numbers of products, most frequent first."""
    version: str = ""
    """Of the index that was searched."""
    read: int = 0
    """Candidates that the joint model read; the probabilities of others are estimates by the dual score."""


def shares(weights: NDArray[Any]) -> NDArray[Any]:
    """Weights [P] that sum to one; equal ones where all are zero."""
    total = float(weights.sum())
    return weights / np.float32(total) if total > 0 else np.full(len(weights), 1 / len(weights), np.float32)


def require_possible(query: Query) -> None:
    """Check what can be checked without an index.

    Raises:
        UsageError: there is nothing to search for, or a number is outside of its range.
    """
    if not query.parts:
        raise UsageError("search: give a text, an image, or both.")
    for place, part in enumerate(query.parts):
        if (part.text is None) == (part.vector is None):
            raise UsageError(f"search: part {place} of the query must be one of a text and a vector.")
        if not (np.isfinite(part.weight) and part.weight >= 0):
            raise UsageError(f"search: the weight of part {place} must be 0 or more, not {part.weight}.")
    if not any(part.weight > 0 for part in query.parts):
        raise UsageError("search: one part at least must have a weight above 0.")
    least = (("top_k", query.top_k, 1), ("candidates", query.candidates, 1), ("offset", query.offset, 0))
    for name, value, smallest in least:
        if value < smallest:
            raise UsageError(f"search: {name} must be at least {smallest}, not {value}.")
    if query.min_probability is not None and not 0 <= query.min_probability <= 1:
        raise UsageError(f"search: min_probability must be between 0 and 1, not {query.min_probability}.")
    if query.min_probability is not None and not query.scored:
        raise UsageError("search: min_probability needs a text and reranking, which alone give probabilities.")
