"""What a search finds, and what an index can do: a LanceDB table, or the images of a source in memory.

Shapes: n images, R image tokens, H hidden size, D vector size.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol, Self

import numpy as np
from numpy.typing import NDArray

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

    @classmethod
    def of(cls, rank: int, hits: Sequence[Hit], score: float, probability: float | None) -> Hit:
        """The result of a group of near-duplicates, the best of them first."""
        best, *others = hits
        similar = tuple(hit.id for hit in others)
        return replace(best, rank=rank, score=score, probability=probability, similar=similar, tokens=None)


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

    def full_text_search(self, text: str, k: int, where: str | None = None, *, tokens: bool = False) -> list[Hit]:
        """The ``k`` products whose texts share most terms with ``text``, best first; none without full text.

        Arguments and errors as of :meth:`vector_search`.
        """

    def regions(self, ids: Sequence[str]) -> list[Float32]:
        """Embedded tokens [R,H] of images, for joint scoring, in the order of ``ids``.

        Raises:
            VectorIndexError: one of them is not in the index.
        """
