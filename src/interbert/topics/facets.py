"""Facets of products: values of columns, alone and up to three together ("Men Blue Shirts"), as texts beside a topic.

A topic asks for some values and leaves the others open. A product's values written out as one text name them all, so
"men's shirts" is as far from a blue summer shirt's as from a blue summer trouser's. Among the facets is what the topic
asks for, and all products that have it fit the topic alike.

Shapes: n examples, K facets, D vector size without the hub correction.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from interbert.data.texts import mostly_cjk
from interbert.search.hits import standardised

Float32 = NDArray[np.float32]

_TOGETHER = 3
"""Values of a facet, at most."""
_LEAST = 5
"""Products that must have a facet."""
COLUMNS = 10
"""Columns that facets are made of, the first: of thirty there would be thousands of facets for each product."""
_MOST = 10_000
"""Facets that are kept, those of most products."""
_SOFTNESS = 0.1
"""How far behind the nearest facet others count, in standard deviations over all facets."""


@dataclass(frozen=True)
class Facets:
    """What facets there are, and who has them."""

    texts: tuple[str, ...]
    vectors: Float32
    """[K,D], dual encoder's vectors of the texts."""
    members: Any
    """Sparse [n,K], 1 where an example has a facet; by rows."""

    @classmethod
    def none(cls, examples: int, vector: int) -> Facets:
        """Of examples whose columns were not read."""
        return cls((), np.zeros((0, vector), np.float32), sparse.csr_matrix((examples, 0), dtype=np.float32))

    def fit(self, text: str, vector: Float32) -> Float32 | None:
        """How much each example has of the facets that are nearest to a topic: [n], standardised logs.

        Args:
            text: the topic; None is returned when it is not written as the facets are (Chinese characters or letters),
                for they are compared in one language.
            vector: [D], of the dual encoder.
        """
        if not self.texts or mostly_cjk(text) != mostly_cjk(" ".join(self.texts[:100])):
            return None
        nearness = standardised(self.vectors @ vector)
        share = np.exp((nearness - nearness.max()) / _SOFTNESS).astype(np.float32)
        return standardised(np.log(self.members @ share + 1e-9))

    def select(self, keep: NDArray[np.bool_]) -> Facets:
        """With the examples alone where ``keep`` [n] is True."""
        return Facets(self.texts, self.vectors, self.members[keep])


def facets_among(rows: Sequence[Sequence[str]]) -> tuple[list[str], Any]:
    """Texts [K] of the facets of some products, and sparse members [n,K].

    What names most things stands last, as nouns do: the column with most different values.

    Args:
        rows: of each product, its values by column, "" where there is none.
    """
    columns = min(len(rows[0]), COLUMNS) if rows else 0
    different = [len({row[place] for row in rows}) for place in range(columns)]
    order = sorted(range(columns), key=lambda place: different[place])
    alike: dict[tuple[str, ...], set[str]] = {}
    for row in map(tuple, rows):
        if row not in alike:
            alike[row] = _facets_of([row[place] for place in order])
    counts = Counter(facet for row in map(tuple, rows) for facet in alike[row])
    frequent = sorted(
        (facet for facet, count in counts.items() if count >= _LEAST), key=lambda facet: (-counts[facet], facet)
    )
    places = {facet: place for place, facet in enumerate(frequent[:_MOST])}
    owned = [sorted(places[facet] for facet in alike[tuple(row)] if facet in places) for row in rows]
    starts = np.cumsum([0, *map(len, owned)])
    columns_of = np.fromiter((place for own in owned for place in own), dtype=np.int32, count=int(starts[-1]))
    ones = np.ones(len(columns_of), dtype=np.float32)
    return list(places), sparse.csr_matrix((ones, columns_of, starts), shape=(len(rows), len(places)))


def _facets_of(values: Sequence[str]) -> set[str]:
    there = list(dict.fromkeys(value for value in values if value))
    return {" ".join(some) for size in range(1, _TOGETHER + 1) for some in combinations(there, size)}
