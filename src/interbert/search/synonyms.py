"""A merchant's synonyms: a text file in the form that Solr and Elasticsearch read, and their matches in a query.

# all of these find each other
sneakers, trainers, running shoes, 运动鞋
# who looks for one of the left finds the right, too, but not the other way round
波鞋, kicks => 运动鞋, sneakers
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from interbert.errors import UsageError, first_line
from interbert.search.words import Word, normal_text, singular, words_of
from interbert.utils.bounded_files import read_small_text

Key = tuple[str, ...]
"""Words of a wording, without plurals; of Chinese, its characters."""

_MOST_BYTES = 1 << 22
_MOST_LINES = 20_000
_MOST_WORDINGS = 32
"""Of a line, and of what a wording stands for over all lines."""
_MOST_WORDS = 16
"""Words of a wording, or characters of a Chinese one."""
_MOST_MATCHES = 8
"""Wordings of a query that synonyms are looked up for."""


@dataclass(frozen=True)
class Match:
    """A wording of a query that has synonyms."""

    start: int
    """In the text."""
    end: int
    synonyms: tuple[str, ...]
    """In the order of the file."""


class Synonyms:
    """What wordings stand for.

    Args:
        of: other wordings of each, by :func:`key_of`.
    """

    def __init__(self, of: dict[Key, tuple[str, ...]]) -> None:
        self._of = of
        self._longest = max(map(len, of), default=0)
        self._words = {word for key in of for word in key}

    @classmethod
    def read(cls, path: str | Path) -> Synonyms:
        """Read a file of synonyms.

        Raises:
            UsageError: it is missing, too large, or no text; or a line is wrong, which is named.
        """
        try:
            lines = read_small_text(path, _MOST_BYTES).splitlines()
        except OSError as error:
            raise UsageError(f"{path}: synonyms cannot be read ({error.strerror or first_line(error)}).") from error
        except UnicodeDecodeError as error:
            raise UsageError(f"{path}: synonyms are no text in UTF-8. Save them as UTF-8.") from error
        except ValueError as error:
            raise UsageError(f"{path}: {error}. Is it a file of synonyms?") from error
        if len(lines) > _MOST_LINES:
            raise UsageError(f"{path}: has more than {_MOST_LINES:,} lines of synonyms, which are not read.")
        found: dict[Key, dict[str, None]] = {}
        for number, line in enumerate(lines, start=1):
            where = f"{path}, line {number}"
            for wording, others in _rules(normal_text(line), where):
                known = found.setdefault(key_of(wording), {})
                known |= dict.fromkeys(others)
                if len(known) > _MOST_WORDINGS:
                    raise UsageError(
                        f"{where}: {wording!r} has more than {_MOST_WORDINGS} synonyms by now. Take some out."
                    )
        return cls({key: tuple(others) for key, others in found.items()})

    def __len__(self) -> int:
        """Number of wordings that have synonyms."""
        return len(self._of)

    def __contains__(self, word: object) -> bool:
        """Whether a wording that has synonyms has this word, as singular or plural."""
        return isinstance(word, str) and singular(word) in self._words

    def matches(self, words: Sequence[Word]) -> list[Match]:
        """Wordings of a query that have synonyms, in order, the longest where several begin with one word."""
        keys = [singular(word.text) for word in words]
        found: list[Match] = []
        place = 0
        while place < len(keys) and len(found) < _MOST_MATCHES:
            ends = range(min(place + self._longest, len(keys)), place, -1)
            end = next((end for end in ends if tuple(keys[place:end]) in self._of), None)
            if end is not None:
                others = self._of[tuple(keys[place:end])]
                found.append(Match(words[place].start, words[end - 1].end, others))
            place = end or place + 1
        return found


def key_of(wording: str) -> Key:
    """What makes two wordings the same."""
    return tuple(singular(word.text) for word in words_of(wording))


def _rules(line: str, where: str) -> Iterator[tuple[str, list[str]]]:
    """Every wording of a line with the others that it stands for."""
    line = line.strip()
    if not line or line.startswith("#"):
        return
    sides = line.split("=>")
    if len(sides) > 2:
        raise UsageError(f"{where}: has => more than once. Write: one, two => three, four")
    wordings = [_wordings(side, where) for side in sides]
    if len(sides) == 1 and len(wordings[0]) == 1:
        raise UsageError(
            f"{where}: {wordings[0][0]!r} stands alone. Write synonyms separated by commas: sneakers, trainers"
        )
    for one in wordings[0]:
        yield one, [other for other in wordings[-1] if key_of(other) != key_of(one)]


def _wordings(side: str, where: str) -> list[str]:
    wordings = [" ".join(one.split()) for one in side.split(",")]
    if len(wordings) > _MOST_WORDINGS:
        raise UsageError(f"{where}: has more than {_MOST_WORDINGS} synonyms. Take some out.")
    for one in wordings:
        if not key_of(one):
            raise UsageError(f"{where}: {one!r} between commas or beside => holds no word. Write: sneakers, trainers")
        if len(key_of(one)) > _MOST_WORDS:
            raise UsageError(f"{where}: {one[:40]!r} has more than {_MOST_WORDS} words, which no search has.")
    return wordings
