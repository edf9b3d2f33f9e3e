"""Lists of words as data, each with a version, and one search for all of their words in a title.

A list is a text file in UTF-8: a word a line, ``# version: N`` in its head, other lines that begin with ``# `` are
comments, and a line that begins with ``!`` is a phrase in which a word of the list means something else, such as
``!新品种`` for 新品.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import NamedTuple

from interbert.errors import ConfigError, MissingExtraError, first_line
from interbert.utils.bounded_files import read_small_text

MAX_BYTES = 1 << 24
MAX_WORDS = 200_000
MAX_CHARACTERS = 100
"""Of a word."""
_VERSION = "# version:"


@dataclass(frozen=True)
class WordList:
    """Words in the form of :func:`folded`."""

    name: str
    """As a report names it: the package's file, or the user's path."""
    version: str
    """Empty when the file names none."""
    words: tuple[str, ...]
    other_meanings: tuple[str, ...]
    """Phrases in which a word of the list is not meant."""
    anywhere: bool = False
    """Whether Latin words are looked for inside longer ones, too."""


class Found(NamedTuple):
    """A word of a list in a title."""

    list: int
    """Which of the lists, counted from 0."""
    start: int
    end: int


def folded(text: str) -> str:
    """A text in lower case, of the same number of characters: places in it are places in the text."""
    lower = text.lower()
    return lower if len(lower) == len(text) else "".join(one if len(one.lower()) > 1 else one.lower() for one in text)


def packaged_words(name: str) -> WordList:
    """A list that the package brings, such as ``promotional_words_zh.txt``."""
    return parse_words(packaged_text(name), name)


def packaged_text(name: str) -> str:
    """The text of one of the package's lists."""
    return files("interbert.curation").joinpath("word_lists", name).read_text(encoding="utf-8")


def read_words(path: str | Path) -> WordList:
    """A list of the user's.

    Raises:
        ConfigError: it cannot be read, is no text in UTF-8, or holds no word or one that cannot be one.
    """
    try:
        text = read_small_text(path, MAX_BYTES)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or first_line(error)
        raise ConfigError(
            f"{path}: the list of words cannot be read ({reason}). It is a word a line, UTF-8."
        ) from error
    return parse_words(text, str(path))


def parse_words(text: str, name: str) -> WordList:
    """Words of a file's text; a word that stands twice counts once.

    Raises:
        ConfigError: a line is no word, or there is none at all.
    """
    version = ""
    words: dict[str, None] = {}
    other_meanings: dict[str, None] = {}
    for number, line in enumerate(text.split("\n"), 1):
        if line.startswith(_VERSION):
            version = line.removeprefix(_VERSION).strip()
        if not line.strip() or line.startswith("# ") or line.strip() == "#":
            continue
        word = folded(unicodedata.normalize("NFKC", line)).strip()
        into = other_meanings if word.startswith("!") else words
        word = word.removeprefix("!").strip()
        if not 1 <= len(word) <= MAX_CHARACTERS:
            raise ConfigError(f"{name}, line {number}: a word has 1 to {MAX_CHARACTERS} characters, not {len(word)}.")
        into[word] = None
    if not words:
        raise ConfigError(f"{name}: there is no word in it. Write one a line, or leave the option out.")
    if len(words) > MAX_WORDS:
        raise ConfigError(f"{name}: there are {len(words):,} words in it; at most {MAX_WORDS:,} are searched.")
    return WordList(name, version, tuple(words), tuple(other_meanings))


class WordSearch:
    """All words of several lists in one pass over a title, however many words they have."""

    def __init__(self, lists: Sequence[WordList]) -> None:
        """Build the automaton.

        Raises:
            MissingExtraError: ahocorasick-rs is not installed.
        """
        try:
            from ahocorasick_rs import AhoCorasick
        except ImportError as error:
            raise MissingExtraError.of("ahocorasick-rs", "curation") from error
        entries = [(n, word, True) for n, one in enumerate(lists) for word in one.words]
        entries += [(n, phrase, False) for n, one in enumerate(lists) for phrase in one.other_meanings]
        whole = [not one.anywhere for one in lists]
        self._entries = [
            (n, meant, whole[n] and _is_letter(word[0]), whole[n] and _is_letter(word[-1]))
            for n, word, meant in entries
        ]
        # overlapping matches are needed: a phrase is to be seen however the words in it lie
        self._automaton = AhoCorasick([word for _, word, _ in entries], store_patterns=False) if entries else None

    def find(self, text: str) -> list[Found]:
        """Words of a :func:`folded` title, by list and place; of words of a list that overlap the leftmost, longest.

        A word that begins or ends with a Latin letter or digit stands alone there: ``top1`` is not in ``top10``.
        """
        if self._automaton is None:
            return []
        matches = self._automaton.find_matches_as_indexes(text, overlapping=True)
        return self._meant(text, matches) if matches else []

    def _meant(self, text: str, matches: list[tuple[int, int, int]]) -> list[Found]:
        words: list[Found] = []
        phrases: list[Found] = []
        for entry, start, end in matches:
            n, meant, letter_first, letter_last = self._entries[entry]
            if letter_first and start > 0 and _is_letter(text[start - 1]):
                continue
            if letter_last and end < len(text) and _is_letter(text[end]):
                continue
            (words if meant else phrases).append(Found(n, start, end))
        if len(words) > 1:
            words.sort(key=lambda one: (one.list, one.start, -one.end))
        kept: list[Found] = []
        for word in words:
            if kept and kept[-1].list == word.list and word.start < kept[-1].end:
                continue
            if not any(one.list == word.list and one.start < word.end and word.start < one.end for one in phrases):
                kept.append(word)
        return kept


def _is_letter(character: str) -> bool:
    return character.isascii() and character.isalnum()
