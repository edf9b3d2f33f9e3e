"""Placeholders: one image that many products have in place of their own."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from itertools import combinations

from interbert.curation.image_options import ImageOptions

_MOST_TITLES = 24
"""Titles of an image that are compared with each other."""


def placeholder_images(digests: Sequence[bytes], titles: Sequence[str], options: ImageOptions) -> set[bytes]:
    """Images that stand beside many titles which have nothing in common: "no photo yet", a shop's logo.

    Variants of one product share their photo too, and most of their titles' letters.

    Args:
        digests: of each row's image; of its group's first image, so that copies made smaller are counted together.
        titles: of the rows.
        options: ``placeholder_titles`` and ``placeholder_likeness``.
    """
    if options.placeholder_titles is None:
        return set()
    often = {digest for digest, count in Counter(digests).items() if count >= options.placeholder_titles}
    titles_of: defaultdict[bytes, set[str]] = defaultdict(set)
    for digest, title in zip(digests, titles, strict=True):
        if digest in often:
            titles_of[digest].add(title)
    return {
        digest
        for digest, different in titles_of.items()
        if len(different) >= options.placeholder_titles and _likeness(different) < options.placeholder_likeness
    }


def _likeness(titles: set[str]) -> float:
    """Mean Jaccard index of the pairs of letters of two titles, by some that are spread over the alphabet."""
    ordered = sorted(titles)
    some = [_letter_pairs(title) for title in ordered[:: -(-len(ordered) // _MOST_TITLES)]]
    pairs = [len(one & other) / max(1, len(one | other)) for one, other in combinations(some, 2)]
    return sum(pairs) / len(pairs)


def _letter_pairs(title: str) -> set[str]:
    lowered = title.casefold()
    return {lowered[place : place + 2] for place in range(max(1, len(lowered) - 1))}
