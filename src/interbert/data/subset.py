"""A sample of many images that stands for all of them: drawn by a seed, whole products, every category in proportion.

The first rows are no sample: stores and sources are often sorted by category, by shop or by date.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Int64 = NDArray[np.int64]
Bool = NDArray[np.bool_]


def sample_groups(
    groups: Int64,
    limit: int | None,
    seed: int,
    first: Bool | None = None,
    categories: Int64 | None = None,
) -> Int64:
    """Places, ascending, of at most ``limit`` items, drawn by whole groups; all when there are no more.

    A group that no longer fits is passed over. Only when the first one drawn is larger than ``limit`` by itself, so
    many of its items are drawn.

    Args:
        groups: [n] group of each item, such as its product.
        limit: items at most; None takes all.
        seed: of the draw; equal seeds draw alike.
        first: bool [n], items of which one is among those drawn, if there is any.
        categories: [n] category of each item, where known: each gets its share of the sample, as near as it goes.
    """
    if limit is None or len(groups) <= limit:
        return np.arange(len(groups))
    generator = np.random.default_rng(seed)
    _, start, group_of = np.unique(groups, return_index=True, return_inverse=True)
    order = generator.permutation(len(start))
    if categories is not None:
        order = _in_proportion(order, categories[start])
    if first is not None and first.any():
        wanted = np.isin(order, group_of[first])
        order = np.concatenate([order[wanted][:1], np.delete(order, np.flatnonzero(wanted)[0])])
    sizes = np.bincount(group_of)
    chosen, room = [], limit
    for group in order.tolist():
        if sizes[group] <= room:
            chosen.append(group)
            room -= int(sizes[group])
        elif not chosen:
            members = np.flatnonzero(group_of == group)
            if first is not None:
                members = members[np.argsort(~first[members], kind="stable")]
            return np.sort(np.concatenate([members[:1], generator.permutation(members[1:])[: limit - 1]]))
        if not room:
            break
    return np.flatnonzero(np.isin(group_of, chosen))


def _in_proportion(order: Int64, categories: Int64) -> Int64:
    """The same order, so that every beginning holds each category in about its proportion.

    Args:
        order: [g] places.
        categories: [g] category of each place.
    """
    drawn = categories[order]
    by_category = np.argsort(drawn, kind="stable")
    counts = np.unique(drawn, return_counts=True)[1]
    within = np.concatenate([(np.arange(count) + 0.5) / count for count in counts])
    due = np.empty(len(order))
    due[by_category] = within
    return order[np.argsort(due, kind="stable")]
