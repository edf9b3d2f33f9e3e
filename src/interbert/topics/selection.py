"""The page of a topic's candidates, and what to say of it (:mod:`interbert.topics.choice` chooses).

Shapes: n candidates, D vector size.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from interbert.search.hits import Hit, ranked
from interbert.topics.calibration import Floats
from interbert.topics.choice import (
    Judged,
    alike_pairs,
    best_images,
    chosen_groups,
    compared_vectors,
    facet,
    numbered,
)

if TYPE_CHECKING:
    from interbert.topics.recommend import PageSettings


_KNOWN_LEAST = 0.25
"""A topic of which titles know less is doubtful (benchmarks/results/topic_devices.md)."""
_LIKELY_LEAST = 0.5
"""So is one whose likeliest product is less likely."""


@dataclass(frozen=True)
class Candidates:
    """Images found for a topic, judged."""

    hits: Sequence[Hit]
    """n images, of a product one or several."""
    scores: Floats
    """[n], what they are ordered by."""
    likely: Floats | None
    """[n], the probability that each belongs to the topic; None where the model was never taught topics."""
    known_share: float = 1.0
    """Share of the topic's words that titles have, :meth:`~interbert.topics.examples.Examples.known_share`."""

    @cached_property
    def best(self) -> dict[str, int]:
        """Place of each product's best image, by product id, best product first."""
        ranks, products = numbered([hit.id for hit in self.hits]), numbered([hit.product_id for hit in self.hits])
        return {self.hits[place].product_id: place for place in best_images(ranks, products, self.scores).tolist()}

    def probability(self, product_id: str) -> float | None:
        """Of a product; None when it is no candidate or there are no probabilities."""
        place = self.best.get(product_id)
        return None if place is None or self.likely is None else float(self.likely[place])


def select_items(
    candidates: Candidates,
    settings: PageSettings,
    size: int,
    pinned: Sequence[str] = (),
    hidden: Collection[str] = (),
) -> list[Hit]:
    """The page of judged candidates.

    Args:
        candidates: of the topic.
        settings: checked.
        size: so many of a vector's numbers say what is shown.
        pinned: products that come first, in this order, however probable; those that are no candidates are left out.
        hidden: products that are left out.
    """
    hits, likely = candidates.hits, candidates.likely
    if not hits:
        return []
    pins = [candidates.best[name] for name in pinned if name in candidates.best]
    others = [place for name, place in candidates.best.items() if name not in pinned and name not in hidden]
    vectors = compared_vectors(np.stack([hit.vector for hit in hits]), size)

    def facets(places: Sequence[int]) -> list[list[Any]]:
        return [[facet(hits[place].metadata.get(name)) for place in places] for name in settings.diversify_by]

    alike = alike_pairs(vectors, settings.duplicates)
    groups = chosen_groups(Judged(candidates.scores, likely, vectors, alike, facets), settings, others, pins)
    return ranked(groups, hits, candidates.scores, likely)


def why_empty(candidates: Candidates, settings: PageSettings, where: str | None) -> str:
    """In words, why a page of these candidates has no item."""
    if not candidates.hits:
        return "the index holds no product" if where is None else "the filter lets no product of the index through"
    likeliest = None
    if candidates.likely is not None and candidates.best:
        name = max(candidates.best, key=lambda one: candidates.probability(one) or 0.0)
        likeliest = (name, candidates.probability(name) or 0.0)
    if likeliest is not None and settings.min_probability is not None and likeliest[1] < settings.min_probability:
        return (
            f"the likeliest product, {likeliest[0][:60]}, has a probability of {likeliest[1]:.2f}; "
            f"{settings.min_probability:g} is asked for (min_probability)"
        )
    return "no product is likely enough"


def doubt(candidates: Candidates) -> str:
    """In words, why the products of a page may all be wrong; "" where nothing says so.

    A page shows the best there is, and labels are relative to the best examples, so that a topic of another trade has
    a page, and probabilities do not always fall. That its words stand in no title is then the only sign.
    """
    if candidates.likely is None or not len(candidates.likely):
        return ""
    likeliest = float(candidates.likely.max())
    if likeliest < _LIKELY_LEAST:
        return (
            f"perhaps nothing here fits: the likeliest product has a probability of {likeliest:.2f}, so that what is "
            "shown is wrong more likely than right"
        )
    if candidates.known_share < _KNOWN_LEAST:
        return (
            "perhaps nothing here fits: the titles that the model was taught have next to none of this topic's words, "
            "so that what is shown is the nearest there is, whatever its probability"
        )
    return ""
