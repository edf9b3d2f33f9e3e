"""What a topic with "and" is about, thing by thing: "men's ties and cufflinks" are men's ties, and men's cufflinks.

Hardly any title has both, so the titles of either fit the whole text badly; a title that fits one of them fits the
topic. What stands before the first thing ("men's"), after the first word of the last one ("shirts" in "black and white
shirts") or behind all ("for a party") may be said of each.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from interbert.data.chinese_dictionary import ChineseDictionary
from interbert.data.words import has_cjk
from interbert.search.topics.title_words import TitleWords

_BEHIND = re.compile(r"\s(?:for|to|with|in|of|from|on|by|under|that|which)\s", re.IGNORECASE)
_AND = re.compile(r"\s+(?:and|or|&)\s+", re.IGNORECASE)
_COMMA = re.compile(r"\s*,\s*(?:(?:and|or|&)\s+)?|\s+(?:and|or|&)\s+", re.IGNORECASE)
_PLURAL = re.compile(r"[^\Ws'’]s$", re.IGNORECASE)
_CHINESE_AND = frozenset("与和及或、，,")
_MOST = 6
"""Things of a text with more are not told apart: that is a list of words."""


def coordinated(text: str, titles: TitleWords) -> list[str]:
    """Each of the things that "and" or "or" joins, in Chinese 和, 与, 及, 或 or a comma; none where there is one.

    A text's form does not show what is said of all: "black and white shirts" are black shirts, "red shirts and blue
    trousers" no red trousers, "rock and roll t-shirts" nothing that could be told apart. So the ways to read it are
    held against the titles, and the first counts whose things stand on their own there
    (:meth:`~interbert.search.topics.title_words.TitleWords.stand_alone`). Where none does, the text stays whole.

    Args:
        text: of a topic.
        titles: of known products.
    """
    joined, rest = _chinese(text) if has_cjk(text) else _english(text)
    if not 2 <= len(joined) <= _MOST:
        return []
    for things in _readings(joined):
        if titles.stand_alone(things, joined):
            return [_written(words) + rest for words in things]
    return []


def _readings(joined: list[list[str]]) -> list[list[list[str]]]:
    """Words of each thing with those that are said of all: as many as may be, then fewer.

    A last word of several is a thing's own where every thing ends in a plural, as "black" in "black and white shirts"
    does not; Chinese does not show that.
    """
    readings = [_distributed(joined, True, True)]
    if len(joined[-1]) > 1 and all(_PLURAL.search(words[-1]) for words in joined):
        readings += [_distributed(joined, True, False), _distributed(joined, False, False)]
    return readings


def _english(text: str) -> tuple[list[list[str]], str]:
    """Words of each thing, and what is said behind all."""
    behind = _BEHIND.search(text)
    core, rest = (text[: behind.start()], text[behind.start() :]) if behind else (text, "")
    if not _AND.search(core):  # commas alone join words that are said of one thing
        return [], ""
    return [words for thing in _COMMA.split(core) if (words := thing.split())], rest


def _chinese(text: str) -> tuple[list[list[str]], str]:
    if _CHINESE_AND.isdisjoint(text):  # nothing to read a dictionary for
        return [], ""
    things: list[list[str]] = [[]]
    for word in _all_words(text):
        if word in _CHINESE_AND:  # 和 by itself, not that of 和服
            things.append([])
        else:
            things[-1].append(word)
    return [words for words in things if words], ""


def _written(words: Sequence[str]) -> str:
    return ("" if has_cjk("".join(words)) else " ").join(words)


def _all_words(text: str) -> list[str]:
    """A text cut into the dictionary's words and single characters; nothing is left out."""
    found, start, small = [], 0, text.casefold()
    for word in ChineseDictionary.cedict().words_in(text):
        place = small.index(word, start)
        found += [*text[start:place], text[place : place + len(word)]]
        start = place + len(word)
    return [*found, *text[start:]]


def _distributed(things: Sequence[list[str]], before: bool, after: bool) -> list[list[str]]:
    """Words of each thing, with those of the first and of the last one that are said of all, if any are."""
    first, last = (things[0][:-1] if before else []), (things[-1][1:] if after else [])
    final = len(things) - 1
    return [[*(first if place else []), *words, *(last if place < final else [])] for place, words in enumerate(things)]
