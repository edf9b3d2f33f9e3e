"""JSON files larger than memory, element by element, within limits.

Not by ijson: its ``items`` takes 1 GB for 20,000 opening brackets, since each level has a path as long as it is deep;
it knows neither NaN nor how a number was written (``1e3``), and its fast backend makes "?" of half a character.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from interbert.errors import SourceError
from interbert.utils.texts import may_have_halves, whole_values

_CHUNK = 1 << 20
_MAX_ELEMENT = 1 << 26
_MAX_VALUES = 1_000_000
"""Values inside one element: each is an object of its own, of up to 25 times its characters."""


def json_elements(
    path: Path, decoder: json.JSONDecoder | None = None, most_values: int = _MAX_VALUES, whole_texts: bool = False
) -> Iterator[tuple[str | None, Any]]:
    """(key, element) of every element of the file's top level.

    Of an object, the elements of lists come one by one under their key, other values as they are; of a list, its
    elements come with the key None.

    Args:
        path: of the file.
        decoder: of each element; Python's own when not given.
        most_values: that an element may have inside.
        whole_texts: halves of pairs of surrogates, which neither tokenizers nor databases take, become U+FFFD.

    Raises:
        SourceError: the file is no JSON, is cut off, or has an element of more than 64 million characters, or of more
            values than it may have.
    """
    with _opened(path, decoder, most_values, whole_texts) as text:
        if text.peek() == "[":
            yield from ((None, element) for element in text.elements())
        else:
            yield from _object(text)


def json_values(path: Path, decoder: json.JSONDecoder | None = None, most_values: int = _MAX_VALUES) -> Iterator[Any]:
    """Whole values that stand one after the other, over one line or many.

    Raises:
        SourceError: as :func:`json_elements`.
    """
    with _opened(path, decoder, most_values) as text:
        while not text.at_end():
            yield text.value()


@contextmanager
def _opened(
    path: Path, decoder: json.JSONDecoder | None, most_values: int, whole_texts: bool = False
) -> Iterator[_Text]:
    with path.open(encoding="utf-8-sig") as file:
        try:
            yield _Text(path, file, decoder or json.JSONDecoder(), most_values, whole_texts)
        except UnicodeDecodeError as error:
            raise SourceError(f"{path}: is no text in UTF-8. Save it as UTF-8.") from error
        except RecursionError as error:
            raise SourceError(f"{path}: is nested too deeply.") from error


def _object(text: _Text) -> Iterator[tuple[str, Any]]:
    text.take("{")
    while text.peek() != "}":
        key = str(text.value())
        text.take(":")
        for element in text.elements() if text.peek() == "[" else [text.value()]:
            yield key, element
        if text.peek() != "}":
            text.take(",")


class _Text:
    """The part of a file that is being read."""

    def __init__(
        self, path: Path, file: Any, decoder: json.JSONDecoder, most_values: int, whole_texts: bool = False
    ) -> None:
        self._path = path
        self._file = file
        self._text = ""
        self._at = 0
        self._decoder = decoder
        self._most_values = most_values
        self._whole_texts = whole_texts

    def at_end(self) -> bool:
        """Whether nothing but space is left; passes it."""
        while True:
            while self._at < len(self._text) and self._text[self._at] in " \t\r\n":
                self._at += 1
            if self._at < len(self._text):
                return False
            if not self._more(_CHUNK):
                return True

    def peek(self) -> str:
        """The next character that is no space."""
        if self.at_end():
            raise self.broken()
        return self._text[self._at]

    def take(self, sign: str) -> None:
        """Pass a sign that must come now."""
        if self.peek() != sign:
            raise self.broken()
        self._at += 1

    def elements(self) -> Iterator[Any]:
        """Of the list that must come now."""
        self.take("[")
        while self.peek() != "]":
            yield self.value()
            if self.peek() != "]":
                self.take(",")
        self.take("]")

    def value(self) -> Any:
        """The next whole value."""
        self.peek()
        ask = _CHUNK
        while True:
            try:
                value, end = self._decoder.raw_decode(self._text, self._at)
            except ValueError:
                end = -1
            # a number at the end of what was read may go on
            if 0 <= end < len(self._text):
                return self._taken(value, end)
            begun = self._at
            if len(self._text) - begun > _MAX_ELEMENT:
                raise SourceError(f"{self._path}: an element has more than {_MAX_ELEMENT:,} characters. Is it a table?")
            # one element alone fills what was read, since it is not whole yet
            if end < 0 and self._values() > self._most_values:
                raise SourceError(
                    f"{self._path}: an element has more than {self._most_values:,} values, which are not read. Is it "
                    "one record?"
                )
            if not self._more(ask):
                if end < 0:
                    raise self.broken()
                return self._taken(value, end - begun)
            ask *= 2

    def _taken(self, value: Any, end: int) -> Any:
        start, self._at = self._at, end
        halves = self._whole_texts and may_have_halves(self._text, start, end)
        return whole_values(value) if halves else value

    def _values(self) -> int:
        """How many values there are in what is read and has no end so far: it is all of one element."""
        return sum(self._text.count(sign, self._at) for sign in ",[{")

    def broken(self) -> SourceError:
        """The error for what is no JSON."""
        return SourceError(f"{self._path}: is no whole JSON. Is the file complete?")

    def _more(self, count: int) -> bool:
        self._text, self._at = self._text[self._at :], 0
        added = self._file.read(count)
        self._text += added
        return bool(added)
