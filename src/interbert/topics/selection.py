"""Which of a topic's candidates its page shows, and in which order.

Pinned products come first. Of the others those stay that are likely enough, near-duplicates are one, and the rest is
diversified.

Shapes: n candidates, D vector size.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from interbert.search.hits import Hit, deduplicated, ranked
from interbert.topics.calibration import Floats, diversified, likely_count

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
        found: dict[str, int] = {}
        for place in sorted(range(len(self.hits)), key=lambda at: (-float(self.scores[at]), self.hits[at].id)):
            found.setdefault(self.hits[place].product_id, place)
        return found

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
    pins = [candidates.best[name] for name in pinned if name in candidates.best]
    others = [place for name, place in candidates.best.items() if name not in pinned and name not in hidden]
    if likely is not None:
        others = others[: likely_count(likely[others], settings.min_probability)]
    first, groups = _groups(hits, pins, others, size, settings.duplicates)
    chosen: list[int] = []
    if groups:
        heads = [group[0] for group in groups]
        chosen = diversified(
            (candidates.scores if likely is None else likely)[heads],
            np.stack([hits[place].vector[:size] for place in heads]),
            [[_facet(hits[place].metadata.get(name)) for place in heads] for name in settings.diversify_by],
            settings.diversity,
            settings.top_k - len(pins),
        )
    return ranked([*first, *(groups[place] for place in chosen)], hits, candidates.scores, likely)


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


def _groups(
    hits: Sequence[Hit], pins: Sequence[int], others: Sequence[int], size: int, duplicates: float | None
) -> tuple[list[list[int]], list[list[int]]]:
    """Near-duplicates, as places in ``hits``: a group of each pinned product, and groups without one.

    Two pinned products that are alike are both shown, as was asked.
    """
    order = [*pins, *others]
    first: list[list[int]] = []
    free: list[list[int]] = []
    for group in deduplicated([hits[place].vector for place in order], size, duplicates):
        own = [order[at] for at in group if at < len(pins)]
        alike = [order[at] for at in group if at >= len(pins)]
        if own:
            first += [[own[0], *alike], *([place] for place in own[1:])]
        else:
            free.append(alike)
    return sorted(first, key=lambda group: pins.index(group[0])), free


def _facet(value: Any) -> Any:
    """A column's value as what pages count; of lists, such as tags, all members together."""
    return tuple(value) if isinstance(value, list) else value
