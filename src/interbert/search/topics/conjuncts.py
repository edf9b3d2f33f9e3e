"""What a topic with "and" is about, thing by thing: "men's ties and cufflinks" are men's ties, and men's cufflinks.

Hardly any title has both, so the titles of either fit the whole text badly; a title that fits one of them fits the
topic. What stands before the first thing ("men's"), after the first word of the last one ("shirts" in "black and white
shirts") or behind all ("for a party") is said of each. A word too many does little harm where one too few would let
everything black in.
"""

from __future__ import annotations

import re

from interbert.data.chinese_dictionary import ChineseDictionary
from interbert.data.words import has_cjk

_BEHIND = re.compile(r"\s(?:for|to|with|in|of|from|on|by|under|that|which)\s", re.IGNORECASE)
_AND = re.compile(r"\s+(?:and|or|&)\s+", re.IGNORECASE)
_COMMA = re.compile(r"\s*,\s*(?:(?:and|or|&)\s+)?|\s+(?:and|or|&)\s+", re.IGNORECASE)
_CHINESE_AND = frozenset("与和及或、，,")
_MOST = 6
"""Things of a text with more are not told apart: that is a list of words."""


def conjuncts(text: str) -> list[str]:
    """Each of the things that "and" or "or" joins, in Chinese 和, 与, 及, 或 or a comma; none where there is one."""
    found = _chinese(text) if has_cjk(text) else _english(text)
    return found if 2 <= len(found) <= _MOST else []


def _english(text: str) -> list[str]:
    behind = _BEHIND.search(text)
    core, rest = (text[: behind.start()], text[behind.start() :]) if behind else (text, "")
    if not _AND.search(core):  # commas alone join words that are said of one thing
        return []
    things = [words for thing in _COMMA.split(core) if (words := thing.split())]
    return [" ".join(words) + rest for words in _distributed(things)]


def _chinese(text: str) -> list[str]:
    if _CHINESE_AND.isdisjoint(text):  # nothing to read a dictionary for
        return []
    things: list[list[str]] = [[]]
    for word in _all_words(text):
        if word in _CHINESE_AND:  # 和 by itself, not that of 和服
            things.append([])
        else:
            things[-1].append(word)
    return ["".join(words) for words in _distributed([words for words in things if words])]


def _all_words(text: str) -> list[str]:
    """A text cut into the dictionary's words and single characters; nothing is left out."""
    found, start, small = [], 0, text.casefold()
    for word in ChineseDictionary.cedict().words_in(text):
        place = small.index(word, start)
        found += [*text[start:place], text[place : place + len(word)]]
        start = place + len(word)
    return [*found, *text[start:]]


def _distributed(things: list[list[str]]) -> list[list[str]]:
    """Words of each thing, with those of the first and of the last one that are said of all."""
    if len(things) < 2:
        return []
    first, *others = things
    before, after = first[:-1], things[-1][1:]
    whole = [first, *([*before, *words] for words in others)]
    return [*([*words, *after] for words in whole[:-1]), whole[-1]]
