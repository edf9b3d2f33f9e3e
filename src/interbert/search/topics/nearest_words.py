"""A topic's words that no known product has, said with the nearest words that products have.

A shop whose titles say "watch" has nothing for "timepieces": spelling does not match, and a model trained on those
titles never saw the word in use. A BERT that learned from other texts knows what is near. What it knows is used for
words that the titles do not have alone; of those they have, the titles know better.

Shapes: W words, H hidden size of that BERT.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from interbert.checkpoints.bert import MINILM
from interbert.checkpoints.frozen_bert import FrozenBert
from interbert.search.vectors import unit_rows

Float32 = NDArray[np.float32]

_LEAST = 5
"""A word in fewer texts is not said in place of another."""
_MOST = 20_000
"""Words that are kept, the most frequent."""
_SHORTEST = 4
"""Letters of a word that is replaced: the nearest word to "him" is "her"."""
_NEAR = 0.65
"""Cosine from which two words mean nearly the same."""
_WORD = re.compile(r"[^\W\d_]+")


def words_in(text: str) -> list[str]:
    """Words of Latin letters without accents, which MiniLM reads, small, in order; "men's" is two."""
    return [word for word in _WORD.findall(text.casefold()) if word.isascii()]


@dataclass(frozen=True)
class KnownWords:
    """Words of the examples' texts, and what MiniLM knows of them."""

    words: tuple[str, ...]
    vectors: Float32
    """[W,H], of length 1."""

    @classmethod
    def none(cls) -> KnownWords:
        """Of examples whose texts nobody read."""
        return cls((), np.zeros((0, 0), np.float32))

    @classmethod
    def of(cls, texts: Sequence[str]) -> KnownWords:
        """Of the examples' texts.

        Raises:
            MissingExtraError: MiniLM's package is not installed.
        """
        counts = Counter(word for text in texts for word in set(words_in(text)))
        frequent = sorted((word for word in counts if counts[word] >= _LEAST), key=lambda word: (-counts[word], word))
        words = frequent[:_MOST]
        if not words:
            return cls.none()
        return cls(tuple(words), unit_rows(FrozenBert(MINILM).states(words, pooling="mean")))

    def rewritten(self, texts: Sequence[str]) -> list[str]:
        """Further wordings of a topic: of each text with unknown words that have near known ones, one with these.

        Args:
            texts: wordings of the topic.

        Raises:
            MissingExtraError: a word is unknown, and MiniLM's package is not installed.
        """
        found = (self._rewritten(text) for text in texts)
        return [text for text in found if text is not None and text not in texts]

    @cached_property
    def _bert(self) -> FrozenBert:
        return FrozenBert(MINILM)

    @cached_property
    def _known(self) -> frozenset[str]:
        return frozenset(self.words)

    def _rewritten(self, text: str) -> str | None:
        """The text with every unknown word replaced that can be; None where none can."""
        unknown = [word for word in dict.fromkeys(words_in(text)) if self._unknown(word)]
        if not unknown:
            return None
        cosines = unit_rows(self._bert.states(unknown, pooling="mean")) @ self.vectors.T
        instead = {
            word: self.words[int(row.argmax())]
            for word, row in zip(unknown, cosines, strict=True)
            if float(row.max()) >= _NEAR
        }
        if not instead:
            return None
        return _WORD.sub(lambda match: instead.get(match.group(), match.group()), text.casefold())

    def _unknown(self, word: str) -> bool:
        """Whether neither a word nor its singular or plural is known."""
        return bool(self.words) and len(word) >= _SHORTEST and self._known.isdisjoint(_forms(word))


def _forms(word: str) -> Iterator[str]:
    yield from (word, f"{word}s", f"{word}es")
    for ending in ("s", "es"):
        if word.endswith(ending):
            yield word.removesuffix(ending)
