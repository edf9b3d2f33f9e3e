"""Tags of VCR as words: people get gender-neutral names, other objects their class name."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

PERSON = "person"
NAMES = (
    *("Alex", "Avery", "Bailey", "Blake", "Cameron", "Casey", "Charlie", "Dakota", "Drew", "Emerson", "Finley"),
    *("Frankie", "Harper", "Hayden", "Jackie", "Jamie", "Jessie", "Jordan", "Kendall", "Kerry", "Logan", "Morgan"),
    *("Parker", "Pat", "Peyton", "Quinn", "Reese", "Riley", "River", "Robin", "Rory", "Rowan", "Sam", "Sawyer"),
    *("Sidney", "Skyler", "Taylor", "Terry"),
)
Words = Sequence[Any]
"""Tokens of VCR: words, and lists of indices of objects."""


def problem_of(tokens: Any, objects: int) -> str | None:
    """What is wrong with tokens of an item with so many objects."""
    if not isinstance(tokens, list) or not tokens:
        return "is no list of words and tags"
    for token in tokens:
        if isinstance(token, str):
            continue
        if not isinstance(token, list) or not token:
            return f"has {str(token)[:40]!r}, which is neither a word nor a list of objects"
        wrong = [one for one in token if type(one) is not int or not 0 <= one < objects]
        if wrong:
            return f"names the object {str(wrong[0])[:20]}, and the item has objects 0 to {objects - 1}"
    return None


def length_of(tokens: Words, names: Mapping[int, str]) -> int:
    """Characters of :func:`sentence`, or a few more: a short tag may stand for a long name, and many for it again."""
    lengths = {one: len(name) + 5 for one, name in names.items()}  # " and "
    return sum(
        sum(lengths[one] for one in token) + 1 if isinstance(token, list) else len(token) + 1 for token in tokens
    )


def names_of(texts: Sequence[Words], objects: Sequence[str], annot_id: str, seed: int) -> dict[int, str]:
    """Name of each object that texts of an item tag; the same for the same annot_id and seed, whoever asks.

    Args:
        texts: question, answers and rationales: all of the item, so that a person has one name in all of them.
        objects: class name of each object.
        annot_id: of the item.
        seed: of the names.
    """
    drawn = _drawn(f"{seed}/{annot_id}")
    found: dict[int, str] = {}
    for tokens in texts:
        for token in tokens:
            for one in token if isinstance(token, list) else ():
                if one not in found:
                    found[one] = next(drawn) if objects[one] == PERSON else objects[one]
    return found


def _drawn(seed: str) -> Iterator[str]:
    """Different names in an order that the seed decides; after the last of them with a number."""
    names = random.Random(seed).sample(NAMES, len(NAMES))
    yield from names
    number = 2
    while True:
        yield from (f"{name} {number}" for name in names)
        number += 1


def sentence(tokens: Words, names: Mapping[int, str]) -> str:
    """Text of tokens; a tag of several objects names them all."""
    return " ".join(_listing([names[one] for one in token]) if isinstance(token, list) else token for token in tokens)


def _listing(names: Sequence[str]) -> str:
    """Names as a sentence lists them: one, two and three."""
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
