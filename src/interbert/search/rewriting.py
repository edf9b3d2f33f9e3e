"""What is searched for a text that somebody typed: wrong letters corrected, synonyms added; never silently."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import islice

from interbert.errors import VectorIndexError
from interbert.search.engine import SearchEngine
from interbert.search.index import ProductIndex
from interbert.search.query_encoder import ProductEncoder
from interbert.search.spelling import Vocabulary, can_be_corrected, full_text_finds
from interbert.search.synonyms import Match, Synonyms
from interbert.search.table import table_state
from interbert.search.terms import terms_of
from interbert.search.words import Word, normal_text, singular, words_of

_MOST_CHARACTERS = 2560
"""As full text reads of a query (:mod:`interbert.search.terms`)."""
_MOST_LOOKED_UP = 8
"""Unknown words of a text; each costs a query of full text."""
_RECOUNT_SECONDS = 10.0
_RECOUNT_SHARE = 50
"""Between two counts pass the seconds above at least, and so many times as long as one takes."""


@dataclass(frozen=True)
class Rewritten:
    """A text as it is searched."""

    typed: str
    text: str
    """What the model and full text read."""
    corrections: tuple[tuple[str, str], ...] = ()
    """Words as typed, and the title's words in their places."""
    wordings: tuple[tuple[str, str], ...] = ()
    """Wordings that titles or the model do not have, and the synonyms in their places."""
    synonyms: tuple[str, ...] = ()
    """Further wordings that full text looks for (:meth:`interbert.SearchEngine.search`)."""

    @property
    def notes(self) -> tuple[str, ...]:
        """What was changed, a line each, for who typed the text at a command line."""
        found = []
        if self.corrections:
            remedy = "--spelling false searches for the words as typed"
            found.append(f"showing results for {self.text!r}, not {self.typed!r}; {remedy}")
        if self.wordings:
            changes = ", ".join(f"{other!r} for {typed!r}" for typed, other in self.wordings)
            found.append(f"synonyms took the place of words that titles or the model do not have: {changes}")
        if self.synonyms:
            found.append(f"titles were searched for synonyms, too: {', '.join(self.synonyms)}")
        return tuple(found)


class QueryRewriter:
    """Rewrites texts for the searches of an engine; threads may share it.

    Words are right that a title has, or another with their stem; that the model's tokenizer has whole; or that synonyms
    have. Others of four Latin letters or more become the nearest of the titles' words, if there is one.

    Args:
        engine: over an index; texts for one over a source, which has no full text, stay as they are.
        synonyms: of the merchant; the attribute may be set anew while others search.
        spelling: correct wrong letters.
    """

    def __init__(self, engine: SearchEngine, synonyms: Synonyms | None = None, spelling: bool = True) -> None:
        self._engine = engine
        self.synonyms = synonyms or Synonyms({})
        self._spelling = spelling
        self._lock = threading.Lock()
        self._vocabulary: Vocabulary | None = None
        self._state = ("", 0)
        self._next = 0.0

    def rewrite(self, text: str, *, spelling: bool = True) -> Rewritten:
        """A text as it is to be searched.

        Args:
            text: as it was typed.
            spelling: False leaves wrong letters as they are.

        Raises:
            VectorIndexError: the index is damaged.
        """
        index, encoder = self._engine.refresh()
        if len(text) > _MOST_CHARACTERS or not isinstance(index, ProductIndex) or not index.counts_terms():
            return Rewritten(text, text)
        typed = normal_text(text)
        corrections = self._corrections(index, encoder, typed) if spelling and self._spelling else []
        corrected = _replaced(typed, corrections)
        matches = self.synonyms.matches(list(words_of(corrected)))
        wordings = self._wordings(index, encoder, corrected, matches)
        used = {one.text for one in wordings}
        synonyms = dict.fromkeys(one for match in matches for one in match.synonyms if one not in used)
        return Rewritten(
            text,
            _replaced(corrected, wordings) if corrections or wordings else text,
            tuple((typed[one.start : one.end], one.text) for one in corrections),
            tuple((corrected[one.start : one.end], one.text) for one in wordings),
            tuple(synonyms),
        )

    def refresh(self) -> int:
        """Count the titles' words where the index changed, and wait for it; returns how many different ones there are.

        Searches do so by themselves: the first one waits, later ones go on with the words before meanwhile.

        Raises:
            VectorIndexError: the index is damaged.
        """
        index, _ = self._engine.refresh()
        return len(self._counted(index)) if isinstance(index, ProductIndex) else 0

    def _counted(self, index: ProductIndex) -> Vocabulary:
        """The words of the index as it is now."""
        with self._lock:
            state, begun = table_state(index.table), time.monotonic()
            if self._vocabulary is None or state != self._state:
                self._vocabulary, self._state = Vocabulary.of(index), state
                self._next = time.monotonic() + max(_RECOUNT_SECONDS, _RECOUNT_SHARE * (time.monotonic() - begun))
            return self._vocabulary

    def _words(self, index: ProductIndex) -> Vocabulary:
        """The words as they were counted last; where the index changed since, a thread counts them anew."""
        known = self._vocabulary
        if known is None:
            return self._counted(index)
        if table_state(index.table) != self._state and time.monotonic() >= self._next and not self._lock.locked():
            self._next = time.monotonic() + _RECOUNT_SECONDS
            threading.Thread(target=self._recount, args=(index,), name="vocabulary", daemon=True).start()
        return known

    def _recount(self, index: ProductIndex) -> None:
        with contextlib.suppress(VectorIndexError):  # the search that is at work meets it, too, and says so
            self._counted(index)

    def _corrections(self, index: ProductIndex, encoder: ProductEncoder, text: str) -> list[Word]:
        """Words of titles in the places of unknown ones."""
        vocabulary = self._words(index)
        unknown = [
            word
            for word in words_of(text)
            if can_be_corrected(word.text) and word.text not in vocabulary and word.text not in self.synonyms
        ]
        found: list[Word] = []
        for word in unknown[:_MOST_LOOKED_UP]:
            if any(encoder.is_whole_word(one) for one in (word.text, singular(word.text))):
                continue
            closest = vocabulary.closest(word.text)
            if closest is not None and not full_text_finds(index, word.text):
                found.append(replace(word, text=closest))
        return found

    def _wordings(
        self, index: ProductIndex, encoder: ProductEncoder, text: str, matches: Sequence[Match]
    ) -> list[Word]:
        """Synonyms in the places of wordings that no title has or of which the model knows no word."""
        found: list[Word] = []
        for match in matches:
            if not self._understands(index, encoder, text[match.start : match.end]):
                understood = (one for one in match.synonyms if self._understands(index, encoder, one))
                found += [Word(one, match.start, match.end) for one in islice(understood, 1)]
        return found

    def _understands(self, index: ProductIndex, encoder: ProductEncoder, wording: str) -> bool:
        """Whether the model knows a word of it and titles have every term, of Chinese also its pairs of characters."""
        (tokens,) = encoder.texts_to_ids([wording])
        vocabulary = self._words(index)
        return encoder.knows(tokens) and all(
            term in vocabulary or full_text_finds(index, term) for term in terms_of(wording)
        )


def _replaced(text: str, parts: Sequence[Word]) -> str:
    """A text with other words in the places of some, which are in order and apart."""
    pieces: list[str] = []
    last = 0
    for part in parts:
        pieces += [text[last : part.start], part.text]
        last = part.end
    return "".join([*pieces, text[last:]])
