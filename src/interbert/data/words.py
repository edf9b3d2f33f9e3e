"""Words of texts in alphabetic scripts and in Chinese, and whether two texts say nearly the same with them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache
from itertools import pairwise

CJK = "\u3400-\u9fff\uf900-\ufaff"
"""Chinese characters, as part of a regular expression's class."""
_WORD = re.compile(rf"[{CJK}]|[^\W_{CJK}]+")
_CHARACTER = re.compile(f"[{CJK}]")
_REMEMBERED = 100_000
"""Texts whose words are kept: more than a batch draws from, less than a large catalogue has."""


def words_of(text: str) -> list[str]:
    """Terms of a text: words of alphabetic scripts, characters and character pairs of Chinese."""
    words = word_tokens(text)
    pairs = [a + b for a, b in pairwise(words) if is_cjk(a) and is_cjk(b)]
    return words + pairs


def word_tokens(text: str) -> list[str]:
    """Words of alphabetic scripts and single Chinese characters, without case, in order."""
    return _WORD.findall(text.casefold())


def is_cjk(word: str) -> bool:
    """Whether a token is one Chinese character."""
    return _CHARACTER.fullmatch(word) is not None


def has_cjk(text: str) -> bool:
    """Whether there is a Chinese character in a text."""
    return _CHARACTER.search(text) is not None


def mostly_cjk(text: str) -> bool:
    """Whether more than half of a text's tokens are Chinese characters."""
    tokens = word_tokens(text)
    return 2 * sum(map(is_cjk, tokens)) > len(tokens)


class NearSame:
    """Whether two of many texts say nearly the same.

    Args:
        texts: all of them.
        share: so much of the words of both, in any order, must be common to them; 1 asks for the same set of words.
    """

    def __init__(self, texts: Sequence[str], share: float) -> None:
        self._texts = texts
        self._share = share
        self._words = lru_cache(maxsize=_REMEMBERED)(self._read)

    def __call__(self, first: int, second: int) -> bool:
        """Whether texts ``first`` and ``second`` do; texts without words are like none."""
        one, other = self._words(first), self._words(second)
        return bool(one) and len(one & other) >= self._share * len(one | other)

    def __getstate__(self) -> dict[str, object]:
        return {"_texts": self._texts, "_share": self._share}

    def __setstate__(self, state: dict[str, object]) -> None:
        self.__dict__ |= state
        self._words = lru_cache(maxsize=_REMEMBERED)(self._read)

    def _read(self, index: int) -> frozenset[str]:
        return frozenset(words_of(self._texts[index]))
