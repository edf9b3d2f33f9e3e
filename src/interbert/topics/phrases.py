"""Topics made of titles: what two products' titles have in common is a topic, and all titles that have it fit it.

They stand in for topics that people wrote where something has to be fitted: short, general, in the titles' languages,
with relevance known. Words count in their order; of Chinese, pairs of characters.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from interbert.data.texts import is_cjk, word_tokens

_TRIES = 20


@dataclass(frozen=True)
class Phrase:
    """A made topic."""

    text: str
    members: NDArray[np.int64]
    """Places of the titles that have all of it."""


def common_phrases(texts: Sequence[str], count: int, least: int = 3, seed: int = 0) -> list[Phrase]:
    """Up to ``count`` different phrases, each of ``least`` titles or more.

    Args:
        texts: titles of one language; empty ones are passed over.
        count: how many.
        least: titles that must have a phrase.
        seed: of the draws.
    """
    tokens = [word_tokens(text) for text in texts]
    units = [list(_units(one)) for one in tokens]
    having: dict[str, set[int]] = defaultdict(set)
    for place, listed in enumerate(units):
        for unit, _ in listed:
            having[unit].add(place)
    frequent = {unit: sorted(places) for unit, places in having.items() if len(places) >= least}
    generator = np.random.default_rng(seed)
    found: dict[str, Phrase] = {}
    for _ in range(count * _TRIES):
        if len(found) == count or not texts:
            break
        place = int(generator.integers(len(texts)))
        mine = [unit for unit, _ in units[place] if unit in frequent]
        if not mine:
            continue
        partners = frequent[mine[int(generator.integers(len(mine)))]]
        other = {unit for unit, _ in units[partners[int(generator.integers(len(partners)))]]}
        shared = [(unit, covered) for unit, covered in units[place] if unit in other and unit in frequent]
        members = set.intersection(*(having[unit] for unit, _ in shared)) if shared else set()
        if len(members) < least or len(members) > len(texts) // 2:
            continue
        kept = sorted({position for _, covered in shared for position in covered})
        text = _joined([tokens[place][position] for position in kept])
        found.setdefault(text, Phrase(text, np.array(sorted(members), dtype=np.int64)))
    return list(found.values())


def _units(tokens: Sequence[str]) -> Iterator[tuple[str, tuple[int, ...]]]:
    """Words, and pairs of Chinese characters, with the places they cover."""
    for place, token in enumerate(tokens):
        if not is_cjk(token):
            yield token, (place,)
        elif place + 1 < len(tokens) and is_cjk(tokens[place + 1]):
            yield token + tokens[place + 1], (place, place + 1)


def _joined(tokens: Sequence[str]) -> str:
    """Words with spaces between them, Chinese without."""
    text = ""
    for place, token in enumerate(tokens):
        apart = place > 0 and not (is_cjk(token) and is_cjk(tokens[place - 1]))
        text += f" {token}" if apart else token
    return text
