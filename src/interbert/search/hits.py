"""What a search finds, and what an index can do: a LanceDB table, or the images of a source in memory.

Shapes: n images, R image tokens, H hidden size, D vector size.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol, Self

import numpy as np
from numpy.typing import NDArray

from interbert.search.full_text import Words
from interbert.search.vectors import unit_rows

Float32 = NDArray[np.float32]


@dataclass(frozen=True)
class Hit:
    """One image that was found, or one product of a page of results: of its images the one that fits best."""

    rank: int
    """Of a page of results, 1 is best; 0 before they are ordered."""
    id: str
    """The image's id."""
    probability: float | None = None
    """Of a match of text and image, by the model; None where that was not computed."""
    texts: tuple[str, ...] = ()
    product_id: str = ""
    score: float = 0.0
    """What the list is ordered by, comparable within one search only; of :meth:`Index.vector_search` the exact inner
    product, of :meth:`Index.full_text_search` BM25."""
    metadata: dict[str, Any] = field(default_factory=dict)
    """The catalogue's columns, by the names that users know."""
    similar: tuple[str, ...] = ()
    """Ids of near-duplicates that this one stands for."""
    vector: Float32 = field(default_factory=lambda: np.empty(0, np.float32), repr=False, compare=False)
    """[D]"""
    tokens: Float32 | None = field(default=None, repr=False, compare=False)
    """[R,H], where they were asked for."""
    estimated: bool = False
    """The probability is an estimate by the vectors: the joint model did not read the image."""

    @classmethod
    def of(cls, rank: int, hits: Sequence[Hit], score: float, probability: float | None) -> Hit:
        """The result of a group of near-duplicates, the best of them first."""
        best, *others = hits
        similar = tuple(hit.id for hit in others if hit.product_id != best.product_id)
        return replace(
            best,
            rank=rank,
            score=score,
            probability=probability,
            similar=similar,
            tokens=None,
            estimated=best.estimated and probability is not None,
        )


class Index(Protocol):
    """Images that can be searched."""

    @property
    def mirrored(self) -> bool:
        """Whether vectors are means of an image and its mirror image."""

    def __len__(self) -> int:
        """Number of images."""

    def pinned(self) -> Self:
        """The index as it is now, which does not change while one search is at work."""

    def vector_search(self, vector: Float32, k: int, where: str | None = None, *, tokens: bool = False) -> list[Hit]:
        """The ``k`` products with the largest inner products with ``vector`` [D], best first, each by its best image.

        Args:
            vector: [D], of a text or an image.
            k: how many.
            where: a filter (:mod:`interbert.search.filters`).
            tokens: bring the embedded tokens [R,H] along.

        Raises:
            FilterError: the filter is wrong.
            UsageError: this index has no columns to filter by.
        """

    def full_text_search(
        self, text: str | Words, k: int, where: str | None = None, *, tokens: bool = False
    ) -> list[Hit]:
        """The ``k`` products whose texts share most terms with ``text``, best first; none without full text.

        Arguments and errors as of :meth:`vector_search`.
        """

    def regions(self, ids: Sequence[str]) -> list[Float32]:
        """Embedded tokens [R,H] of images, for joint scoring, in the order of ``ids``.

        Raises:
            VectorIndexError: one of them is not in the index.
        """

    def vectors(self, ids: Sequence[str]) -> Float32:
        """Vectors [n,D] of images, in the order of ``ids``.

        Raises:
            VectorIndexError: one of them is not in the index.
        """


Floats = NDArray[Any]

_RANK_OFFSET = 60  # Cormack, Clarke and Buettcher 2009


def standardised(scores: Floats) -> Floats:
    """Scores [n] with mean 0 and deviation 1, so that scores of two kinds can be added."""
    spread = float(scores.std())
    return (scores - scores.mean()) / spread if spread > 1e-9 else np.zeros_like(scores)


def reciprocal_ranks(scores: Floats, others: Sequence[int | None]) -> Floats:
    """Scores [n] and a second order of the same candidates as one score: sum of 1 / (60 + rank).

    Reciprocal rank fusion (Cormack, Clarke and Buettcher 2009): the two need no common scale.

    Args:
        scores: higher is better.
        others: place of each candidate in the second order from 0, None where it is not in it.
    """
    places = np.empty(len(scores))
    places[np.argsort(-scores, kind="stable")] = np.arange(len(scores))
    second = np.array([0.0 if place is None else 1.0 / (_RANK_OFFSET + 1 + place) for place in others])
    fused: Floats = 1.0 / (_RANK_OFFSET + 1 + places) + second
    return fused


def deduplicated(vectors: Sequence[Floats], size: int, threshold: float | None) -> list[list[int]]:
    """Groups of candidates, best first; each later near-duplicate joins the group of the first that it resembles.

    Args:
        vectors: [D] of each candidate, in order of rank.
        size: so many of their numbers say what is shown.
        threshold: cosine from which two are near-duplicates; None makes no groups.
    """
    if threshold is None or not vectors:
        return [[place] for place in range(len(vectors))]
    unit = unit_rows(np.stack([vector[:size] for vector in vectors]).astype(np.float32))
    groups: list[list[int]] = []
    for place, line in enumerate(unit @ unit.T):
        home = next((group for group in groups if line[group[0]] >= threshold), None)
        if home is None:
            groups.append([place])
        else:
            home.append(place)
    return groups


def joined_by_product(groups: Sequence[Sequence[int]], products: Sequence[str]) -> list[list[int]]:
    """Groups of places, best first, with those joined to an earlier one whose first members are of one product.

    Args:
        groups: of places in ``products``.
        products: product id of each candidate.
    """
    joined: dict[str, list[int]] = {}
    for group in groups:
        joined.setdefault(products[group[0]], []).extend(group)
    return list(joined.values())


def ranked(
    groups: Sequence[Sequence[int]], hits: Sequence[Hit], order: NDArray[Any], probability: NDArray[Any] | None
) -> list[Hit]:
    """Groups of places in ``hits``, best first and each with its head first, as results."""
    return [
        Hit.of(
            rank,
            [hits[place] for place in group],
            float(order[group[0]]),
            None if probability is None else float(probability[group[0]]),
        )
        for rank, group in enumerate(groups, start=1)
    ]


def nearest_first(hits: Sequence[Hit], query: Floats, every_image: bool = False) -> list[Hit]:
    """In order of nearness to the query each product's nearest image, or every image, once."""
    best: dict[str, Hit] = {}
    for hit in sorted(hits, key=lambda hit: (-float(hit.vector @ query), hit.id)):
        best.setdefault(hit.id if every_image else hit.product_id, hit)
    return list(best.values())
