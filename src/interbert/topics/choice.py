"""Which of a topic's candidates its page shows, and in which order, by arrays of their numbers.

Pinned products come first. Of the others those stay that are likely enough, near-duplicates are one, and the rest is
diversified. Equal arrays give equal pages.

Shapes: n candidates, D numbers of a vector that say what is shown, p pairs.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from interbert.search.vectors import unit_rows
from interbert.topics.calibration import Floats, diversified, likely_count

if TYPE_CHECKING:
    from interbert.topics.recommend import PageSettings

Ints = NDArray[np.int64]
Halves = NDArray[np.float16]

_NEAR = 1e-4
"""Cosines of float32 are right to less; pairs so near to the border are compared by more digits."""
_PAIRS_AT_ONCE = 10_000


@dataclass(frozen=True)
class Judged:
    """Candidates of a topic."""

    scores: Floats
    """[n], what they are ordered by."""
    likely: Floats | None
    """[n], probabilities; None where there are none."""
    vectors: Halves
    """[n,D], of :func:`compared_vectors`."""
    alike: Ints
    """[p,2], of :func:`alike_pairs`."""
    facets: Callable[[Sequence[int]], list[list[Hashable]]]
    """Of candidates, by their places, the values of each column that should not repeat."""


def chosen_groups(
    judged: Judged, settings: PageSettings, others: Sequence[int], pins: Sequence[int] = ()
) -> list[list[int]]:
    """The page's items, each a group of near-duplicates with its head first, as places.

    Args:
        judged: the candidates.
        settings: checked.
        others: each product's best image, best first.
        pins: images that come first; two of them that are alike are both shown, as was asked.
    """
    likely = judged.likely
    if likely is not None:
        others = others[: likely_count(likely[list(others)], settings.min_probability)]
    first: list[list[int]] = []
    free: list[list[int]] = []
    pinned = set(pins)
    groups = _groups([*pins, *others], judged.alike)
    for group in groups if pinned else ():
        own = [place for place in group if place in pinned]
        alike = [place for place in group if place not in pinned]
        if own:
            first += [[own[0], *alike], *([place] for place in own[1:])]
        else:
            free.append(alike)
    free = free if pinned else groups
    first.sort(key=lambda group: pins.index(group[0]))
    worth = judged.scores if likely is None else likely
    room = settings.top_k - len(pins)
    free = [free[place] for place in _within_reach(worth[[group[0] for group in free]], settings, room)]
    heads = [group[0] for group in free]
    chosen = diversified(
        worth[heads], judged.vectors[heads].astype(np.float32), judged.facets(heads), settings.diversity, room
    )
    return [*first, *(free[place] for place in chosen)]


def best_images(ranks: Ints, products: Ints, scores: Floats) -> Ints:
    """Places of each product's best image, best product first.

    Args:
        ranks: [n], of the images' ids in their order.
        products: [n], one number for each product.
        scores: [n].
    """
    order = np.lexsort((ranks, -scores.astype(np.float64)))
    _, firsts = np.unique(products[order], return_index=True)
    best: Ints = order[np.sort(firsts)]
    return best


def numbered(names: Sequence[str]) -> Ints:
    """Each name's number among all of them, in their order [n]; the same names have the same."""
    numbers = {name: number for number, name in enumerate(sorted(set(names)))}
    return np.array([numbers[name] for name in names], np.int64)


def compared_vectors(vectors: NDArray[np.float32], size: int) -> Halves:
    """Of vectors [n,D], in float16, the ``size`` numbers that say what is shown."""
    return vectors[:, :size].astype(np.float16)


def alike_pairs(vectors: Halves, threshold: float | None, new: int = 0) -> Ints:
    """Near-duplicates among images, as places, each pair in both orders, ascending: [p,2].

    Args:
        vectors: [n,D].
        threshold: cosine from which two are near-duplicates; None for no pairs.
        new: only pairs with one of the last so many images; all pairs for 0.
    """
    start = len(vectors) - new if new else 0
    if threshold is None or start >= len(vectors):
        return np.empty((0, 2), np.int64)
    unit = unit_rows(vectors.astype(np.float32))
    cosines = unit[start:] @ unit.T
    near = np.argwhere(cosines >= threshold - _NEAR)
    border = np.flatnonzero(cosines[tuple(near.T)] < threshold + _NEAR)
    near[:, 0] += start
    far = border[_cosines(vectors, near[border]) < threshold]
    pairs: Ints = np.delete(near, far, axis=0).astype(np.int64)
    pairs = pairs[pairs[:, 0] != pairs[:, 1]]
    return np.unique(np.concatenate([pairs, pairs[:, ::-1]]), axis=0) if start else pairs


def facet(value: Any) -> Any:
    """A column's value as what pages count; of lists, such as tags, all members together."""
    return tuple(value) if isinstance(value, list) else value


def _cosines(vectors: Halves, pairs: Ints) -> NDArray[np.float64]:
    """Of pairs [p,2] of images; each depends on its two vectors alone."""
    found = []
    for part in np.array_split(pairs, len(pairs) // _PAIRS_AT_ONCE + 1):
        one, other = (vectors[part[:, side]].astype(np.float64) for side in (0, 1))
        lengths = np.sqrt(np.square(one).sum(axis=1) * np.square(other).sum(axis=1)).clip(min=1e-18)
        found.append((one * other).sum(axis=1) / lengths)
    return np.concatenate(found)


def _groups(order: Sequence[int], alike: Ints) -> list[list[int]]:
    """Near-duplicates joined: each joins the first before it in the order that heads a group and is alike."""
    if not len(alike):
        return [[place] for place in order]
    beside: dict[int, list[int]] = {}
    for one, other in alike.tolist():
        beside.setdefault(one, []).append(other)
    groups: dict[int, list[int]] = {}
    home: dict[int, int] = {}
    for place in order:
        if place in home:
            groups[home[place]].append(place)
            continue
        groups[place] = [place]
        for other in beside.get(place, ()):
            home.setdefault(other, place)
    return list(groups.values())


def _within_reach(worth: Floats, settings: PageSettings, count: int) -> list[int]:
    """Places of those that can be among the ``count`` chosen, whatever they repeat.

    What is repeated is between 0 and 1, so that who is less likely than the last of the likeliest by more than that
    counts is never chosen before it.
    """
    if count < 1 or not len(worth):
        return []
    trade = settings.diversity
    last = np.sort((1 - trade) * worth)[::-1][min(count, len(worth)) - 1]
    return np.flatnonzero((1 - trade) * worth >= last - trade - 1e-3).tolist()
