"""Words of a query with their places, and what makes two of them the same."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass

from interbert.search.terms import RUN


@dataclass(frozen=True)
class Word:
    """A word or number of a text, or one character of a script without spaces."""

    text: str
    """In lower case."""
    start: int
    end: int


def normal_text(text: str) -> str:
    """A text as places of its words are counted: NFKC, so that full-width letters are the usual ones."""
    return unicodedata.normalize("NFKC", text)


def words_of(text: str) -> Iterator[Word]:
    """Words of a :func:`normal_text`, in order, by the rules of :mod:`interbert.search.terms`."""
    for found in RUN.finditer(text):
        start, end = found.span()
        if found["dense"] is not None:
            yield from (Word(text[place], place, place + 1) for place in range(start, end))
        else:
            yield Word(found.group().lower().replace("’", "'"), start, end)


def singular(word: str) -> str:
    """A word without the ``s`` of an English plural, after the S stemmer (Harman 1991); irregular ones stay."""
    if len(word) < 4 or not word.endswith("s") or word.endswith(("us", "ss")):
        return word
    if word.endswith("ies"):
        return word[:-3] + "y"
    return word[:-2] if word.endswith(("sses", "shes", "ches", "xes")) else word[:-1]
