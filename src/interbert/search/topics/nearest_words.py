"""A topic's words that no known product has, said with the nearest words that products have.

A shop whose titles say "watch" has nothing for "timepieces", and one with 太阳镜 nothing for 墨镜: spelling does not
match, and a model trained on those titles never saw the word in use. A BERT that learned from other texts knows what is
near; of a Chinese word, it reads what a dictionary says it means. What they know is used for words that the titles do
not have alone; of those they have, the titles know better.

Shapes: W words, V meanings (one of an English word, one or several of a Chinese one), H hidden size of that BERT.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from interbert.checkpoints.bert import MINILM
from interbert.checkpoints.frozen_bert import FrozenBert
from interbert.data.chinese_dictionary import ChineseDictionary
from interbert.data.words import has_cjk
from interbert.search.vectors import unit_rows

Float32 = NDArray[np.float32]

_LEAST = 5
"""A word in fewer texts is not said in place of another."""
_MOST = 20_000
"""Words that are kept, the most frequent."""
_SHORTEST = 4
"""Letters of an English word that is replaced: the nearest word to "him" is "her"."""
_NEAR, _NEAR_CHINESE = 0.65, 0.6
"""Cosine from which two words mean nearly the same; and two Chinese ones, by a dictionary's few words."""
_NEARLY = 0.1
"""What is less near than the nearest by no more than this is said, too."""
_CHINESE_FOR_CHINESE, _ENGLISH_FOR_CHINESE = 3, 2
"""Words of each language that a Chinese one is said with."""
_MOST_UNKNOWN = 32
"""Unknown words of a text that are looked up; one with more is no topic."""
_WORD = re.compile(r"[^\W\d_]+")


def words_in(text: str) -> list[str]:
    """Words of Latin letters without accents, which MiniLM reads, small, in order; "men's" is two."""
    return [word for word in _WORD.findall(text.casefold()) if word.isascii()]


@dataclass(frozen=True)
class KnownWords:
    """Words of the examples' texts, and what MiniLM knows of them."""

    words: tuple[str, ...]
    """The most frequent first."""
    owners: NDArray[np.int32]
    """[V], the word that each meaning is of, rising."""
    vectors: Float32
    """[V,H], of length 1."""

    @classmethod
    def none(cls) -> KnownWords:
        """Of examples whose texts nobody read."""
        return cls((), np.zeros(0, np.int32), np.zeros((0, 0), np.float32))

    @classmethod
    def of(cls, texts: Sequence[str]) -> KnownWords:
        """Of the examples' texts.

        Raises:
            MissingExtraError: MiniLM's package is not installed.
        """
        counts = Counter(word for text in texts for word in {*words_in(text), *_every_chinese_word_in(text)})
        frequent = sorted((word for word in counts if counts[word] >= _LEAST), key=lambda word: (-counts[word], word))
        words = [word for word in frequent if _meanings(word)][:_MOST]
        if not words:
            return cls.none()
        return cls(tuple(words), *_read(FrozenBert(MINILM), words))

    def rewritten(self, texts: Sequence[str]) -> list[str]:
        """Further wordings of a topic: each text with words that have near known ones in place of unknown words.

        An English word is said with the nearest one. A Chinese one, whose meaning is short of words, is said with
        several, in a wording each: 内衣 ("underwear") with 内裤, 短裤 and "innerwear". Either is said in the other
        language where its own has none.

        Args:
            texts: wordings of the topic.

        Raises:
            MissingExtraError: a word is unknown, and MiniLM's package is not installed.
        """
        found = dict.fromkeys(said for text in texts for said in self._rewritten(text))
        return [text for text in found if text not in texts]

    @cached_property
    def _bert(self) -> FrozenBert:
        return FrozenBert(MINILM)

    @cached_property
    def _known(self) -> frozenset[str]:
        return frozenset(self.words)

    @cached_property
    def _chinese(self) -> NDArray[np.bool_]:
        """[W], the words that are Chinese."""
        return np.array([has_cjk(word) for word in self.words], dtype=np.bool_)

    def _rewritten(self, text: str) -> list[str]:
        """The text with every unknown word replaced that can be, by its nearest word, the next one, and so on."""
        words = dict.fromkeys(_words_of(text)) if self.words else ()
        unknown = [word for word in words if self._unknown(word)][:_MOST_UNKNOWN]
        instead = self._instead(unknown) if unknown else {}
        wordings = max(map(len, instead.values()), default=0)
        return [
            _replaced(text, {word: others[min(place, len(others) - 1)] for word, others in instead.items()})
            for place in range(wordings)
        ]

    def _instead(self, unknown: Sequence[str]) -> dict[str, list[str]]:
        """Of the unknown words that have near known ones, those to say it with."""
        owners, vectors = _read(self._bert, unknown)
        found = {}
        for place, word in enumerate(unknown):
            near = np.full(len(self.words), -1.0)
            np.maximum.at(near, self.owners, (vectors[owners == place] @ self.vectors.T).max(axis=0, initial=-1.0))
            if has_cjk(word):
                others = self._nearest(near, self._chinese, _NEAR_CHINESE, _CHINESE_FOR_CHINESE)
                others += [f" {one} " for one in self._nearest(near, ~self._chinese, _NEAR, _ENGLISH_FOR_CHINESE)]
            else:
                others = self._nearest(near, ~self._chinese, _NEAR, 1)
                others = others or [f" {one} " for one in self._nearest(near, self._chinese, _NEAR, 1)]
            if others:
                found[word] = others
        return found

    def _nearest(self, near: NDArray[np.float64], among: NDArray[np.bool_], least: float, count: int) -> list[str]:
        """Of some words, the nearest and those that are nearly as near, the more frequent first where they are equal.

        Args:
            near: [W] cosines.
            among: [W] which words.
            least: smallest cosine.
            count: no more than so many.
        """
        level = np.where(among, near.round(3), -1.0)
        order = np.argsort(-level, kind="stable")[:count]
        return [self.words[place] for place in order if level[place] >= max(least, level[order[0]] - _NEARLY)]

    def _unknown(self, word: str) -> bool:
        """Whether neither a word nor its singular or plural is known."""
        if has_cjk(word):
            return word not in self._known and bool(_meanings(word))
        return len(word) >= _SHORTEST and self._known.isdisjoint(word_forms(word))


def _replaced(text: str, instead: Mapping[str, str]) -> str:
    """A text, small, with whole words replaced."""
    parts = sorted(map(re.escape, instead), key=len, reverse=True)
    pattern = re.compile("|".join(rf"(?<![a-z]){part}(?![a-z])" if part.isascii() else part for part in parts))
    return " ".join(pattern.sub(lambda match: instead[match.group()], text.casefold()).split())


def _words_of(text: str) -> list[str]:
    chinese = ChineseDictionary.cedict().words_in(text) if has_cjk(text) else []
    return [*words_in(text), *chinese]


def _every_chinese_word_in(text: str) -> set[str]:
    return ChineseDictionary.cedict().every_word_in(text) if has_cjk(text) else set()


def _meanings(word: str) -> list[str]:
    """What MiniLM reads of a word."""
    return ChineseDictionary.cedict().meanings(word) if has_cjk(word) else [word]


def _read(bert: FrozenBert, words: Sequence[str]) -> tuple[NDArray[np.int32], Float32]:
    """Of words, the owners [V] and vectors [V,H] of their meanings."""
    meanings = [_meanings(word) for word in words]
    owners = np.repeat(np.arange(len(words), dtype=np.int32), [len(some) for some in meanings])
    return owners, unit_rows(bert.states([one for some in meanings for one in some], pooling="mean"))


def word_forms(word: str) -> Iterator[str]:
    """An English word, and what may be its plural or its singular."""
    yield from (word, f"{word}s", f"{word}es")
    for ending in ("s", "es"):
        if word.endswith(ending):
            yield word.removesuffix(ending)
