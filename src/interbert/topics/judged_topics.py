"""A topic with the images that searches found for it, judged: all that its page is chosen from.

It is the same whether searches have just found them or it was brought up to date by what changed of the index
(:mod:`interbert.topics.refreshing`); so are the pages, then.

Shapes: Q queries, S stored size, D vector size, r images of a topic, m images, e examples, p pairs.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from interbert.search.hits import Hit
from interbert.topics.calibration import Calibration
from interbert.topics.choice import Halves, Ints, Judged, best_images, chosen_groups, numbered
from interbert.topics.near_lists import NearList, Numbers
from interbert.topics.selection import Candidates, doubt, why_empty

if TYPE_CHECKING:
    from interbert.topics.recommend import PageSettings

Float32 = NDArray[np.float32]


@dataclass(frozen=True)
class TopicQuery:
    """What is asked of the index, and what images are judged by."""

    vectors: Float32
    """[Q,S], of the topic's texts and its best examples, as the index compares them."""
    counts: tuple[int, ...]
    """[Q], images that are wanted of each."""
    mean: Float32
    """[D], of the texts' vectors."""
    labels: Float32
    """[e], how well each example fits; none where the model was never taught topics."""
    known_share: float
    """As of :class:`~interbert.topics.selection.Candidates`."""


@dataclass(frozen=True)
class Images:
    """Images in the order of their ids."""

    numbers: Numbers
    """[m], of their rows."""
    ids: Sequence[str]
    products: Sequence[str]
    vectors: Halves
    """[m,D], of :func:`~interbert.topics.choice.compared_vectors`."""

    @cached_property
    def _by_number(self) -> Ints:
        return np.argsort(self.numbers)

    @cached_property
    def product_numbers(self) -> Ints:
        """[m], one for each product."""
        return numbered(self.products)

    def places(self, numbers: Numbers) -> Ints:
        """Where rows are, all of which are there."""
        found: Ints = self._by_number[np.searchsorted(self.numbers, numbers, sorter=self._by_number)]
        return found

    def select(self, numbers: Numbers) -> Images:
        """Those of rows, all of which are there."""
        places = np.sort(self.places(numbers))
        ids, products = ([names[place] for place in places.tolist()] for names in (self.ids, self.products))
        return Images(self.numbers[places], ids, products, self.vectors[places])


def joined_images(parts: Sequence[Images]) -> Images:
    """Images of several parts, each row once."""
    numbers, firsts = np.unique(np.concatenate([one.numbers for one in parts]), return_index=True)
    ids = [name for one in parts for name in one.ids]
    products = [name for one in parts for name in one.products]
    order = np.array(sorted(range(len(firsts)), key=lambda place: ids[firsts[place]]), np.int64)
    chosen = firsts[order]
    vectors = np.concatenate([one.vectors for one in parts])[chosen]
    return Images(numbers[order], [ids[at] for at in chosen], [products[at] for at in chosen], vectors)


@dataclass(frozen=True)
class JudgedTopic:
    """A topic and the images near to it."""

    query: TopicQuery
    lists: tuple[NearList, ...]
    """[Q], of more images than are wanted."""
    numbers: Numbers
    """[r], rows of the images of all lists, ascending."""
    scores: Float32
    """[r], what they are ordered by."""
    alike: Ints
    """[p,2], of :func:`~interbert.topics.choice.alike_pairs`, as places in ``numbers``."""

    @property
    def lasting(self) -> bool:
        """Whether it is known which images the page is chosen from, also when others come and go."""
        return all(one.first(count) is not None for one, count in zip(self.lists, self.query.counts, strict=True))

    def wanted(self) -> Ints:
        """Places in ``numbers`` of the images that the page is chosen from, ascending."""
        rows = [one.numbers[:count] for one, count in zip(self.lists, self.query.counts, strict=True)]
        wanted = np.zeros(len(self.numbers), dtype=bool)
        wanted[np.searchsorted(self.numbers, np.concatenate(rows))] = True
        return np.flatnonzero(wanted)


@dataclass(frozen=True)
class ChosenPage:
    """A page's items, by their rows."""

    numbers: Numbers
    """Of the items, in their order."""
    likely: Sequence[float | None]
    similar: Sequence[tuple[str, ...]]
    """Ids of near-duplicates of other products that each item stands for."""
    note: str
    """Why the items may all be wrong; "" where nothing says so."""
    reason: str
    """Why there is no item; "" where there are some."""


Facets = Callable[[Numbers], list[list[Hashable]]]
"""Of rows, the values of each column that should not repeat."""


def choose_page(
    topic: JudgedTopic,
    images: Images,
    settings: PageSettings,
    calibration: Calibration | None,
    facets: Facets,
    where: str | None,
) -> ChosenPage:
    """The page of a topic.

    Args:
        topic: judged.
        images: those of the topic, and others.
        settings: checked.
        calibration: None where the model was never taught topics.
        facets: reads columns.
        where: the topic's filter, for the reason why it is empty.
    """
    wanted = topic.wanted()
    numbers, scores = topic.numbers[wanted], topic.scores[wanted]
    places = images.places(numbers)
    likely = None if calibration is None else calibration.probability(scores)
    best = best_images(places, images.product_numbers[places], scores)
    judged = Judged(
        scores,
        likely,
        images.vectors[places],
        _among(topic, wanted),
        lambda chosen: facets(numbers[np.array(chosen, np.int64)]),
    )
    groups = chosen_groups(judged, settings, best.tolist())
    heads = np.array([group[0] for group in groups], np.int64)
    known = Candidates([], scores, likely, topic.query.known_share)
    if not groups:
        hits = [Hit(0, images.ids[place], product_id=images.products[place]) for place in places.tolist()]
        known = Candidates(hits, scores, likely, topic.query.known_share)
    return ChosenPage(
        numbers[heads],
        [None] * len(heads) if likely is None else likely[heads].astype(float).tolist(),
        [_others(images, places[group]) for group in groups],
        doubt(known) if groups else "",
        "" if groups else why_empty(known, settings, where),
    )


def _among(topic: JudgedTopic, wanted: Ints) -> Ints:
    """Pairs of near-duplicates among images of a topic, as places in ``wanted``."""
    place = np.full(len(topic.numbers), -1, np.int64)
    place[wanted] = np.arange(len(wanted))
    pairs = place[topic.alike]
    return pairs[(pairs >= 0).all(axis=1)]


def _others(images: Images, group: Ints) -> tuple[str, ...]:
    """Ids of a group's images that are of another product than the first."""
    first, *others = group.tolist()
    return tuple(images.ids[place] for place in others if images.products[place] != images.products[first])
