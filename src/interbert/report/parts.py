"""What the pages about training show of queries."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class QueryResult:
    """One text and the images found for it.

    Attributes:
        text: the query.
        relevant: keys of the relevant images.
        rank: rank of the best relevant image.
        hits: (image key, probability), best first.
    """

    text: str
    relevant: frozenset[str]
    rank: int
    hits: tuple[tuple[str, float], ...]

    def missed(self, shown: Collection[str]) -> list[str]:
        """A relevant image that can be shown, when no hit is relevant."""
        found = any(key in self.relevant for key, _ in self.hits)
        return [] if found else sorted(self.relevant.intersection(shown))[:1]


def by_hash(texts: Sequence[str]) -> list[int]:
    """Places of texts in the order of their hash: what to show of many, so that nobody can have picked the good."""
    return sorted(range(len(texts)), key=lambda place: hashlib.sha256(texts[place].encode()).hexdigest())
