"""Which known titles have which words, to see whether words belong together: "men" and "cufflinks" do."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Sequence

from interbert.data.words import has_cjk, word_tokens
from interbert.search.topics.nearest_words import word_forms

_LEAST = 2
"""Titles that a thing must have: one may be an accident."""
_POSSESSIVE = re.compile(r"['’]s?(?!\w)", re.IGNORECASE)


class TitleWords:
    """Words of the examples' texts.

    Args:
        texts: of each example, all its texts as one.
    """

    def __init__(self, texts: Sequence[str]) -> None:
        self._texts = [text.casefold() for text in texts]
        self._holders: dict[str, set[int]] = defaultdict(set)
        for place, text in enumerate(self._texts):
            for word in set(word_tokens(text)):
                self._holders[word].add(place)

    def stand_alone(self, things: Sequence[Sequence[str]], own: Sequence[Sequence[str]]) -> bool:
        """Whether each of several things has titles of its own, which are not titles of another one.

        Of the words that stand in a thing itself, those that no title has are passed over, as long as one is known.
        What is said of all must be known: nothing tells else whether it belongs to the others.

        Args:
            things: words of each, those that are said of all among them.
            own: the words that stand in each itself.
        """
        of_own = [self._having(words) for words in own]
        for place, words in enumerate(things):
            shared = [word for word in words if word not in own[place]]
            found = self._having(words)
            if not found or not of_own[place] or any(self._having([word]) is None for word in shared):
                return False
            others = [of for other, of in enumerate(of_own) if other != place and of]
            if len(found.difference(*others)) < _LEAST:
                return False
        return True

    def _having(self, words: Sequence[str]) -> set[int] | None:
        """Titles with all of some words, in singular or plural; None where no title has any of them."""
        known = [holders for word in words for token in _parts(word) if (holders := self._with(token))]
        return set.intersection(*known) if known else None

    def _with(self, word: str) -> set[int]:
        if has_cjk(word):
            return {place for place, text in enumerate(self._texts) if word in text}
        return set().union(*(self._holders.get(form, set()) for form in word_forms(word)))


def _parts(word: str) -> list[str]:
    """What is looked for of a word as it was typed: "men" of "men's"; a Chinese one is looked for as a whole."""
    return [word.casefold()] if has_cjk(word) else word_tokens(_POSSESSIVE.sub("", word))
