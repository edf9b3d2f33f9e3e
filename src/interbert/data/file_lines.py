"""Lines of text files, plain or with .gz, that are counted before they are held."""

from __future__ import annotations

import gzip
import lzma
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO, cast

from interbert.errors import SourceError

MAX_ROW = 1 << 26
"""Characters of the lines of a row; KDD Cup's files carry the regions of an image, as those importers read them."""
_MAX_SEPARATORS = 1_000_000
"""Of a row: each may end a cell, which is an object of its own, whatever the file holds of it."""
_UNPACKED, _UNPACKED_TIMES = 1 << 30, 100
"""A .gz file may hold so many bytes of text, or so many times its own size: the larger. Logs of clicks shrink to a
tenth."""


UNREADABLE = (OSError, EOFError, UnicodeDecodeError, zlib.error, lzma.LZMAError)
"""What readers of files, plain or packed, raise for damaged ones."""


def opened(path: Path) -> IO[str]:
    """A text file in UTF-8 with the ends of its lines, unpacked where its name ends in .gz."""
    if path.suffix.lower() == ".gz":
        return cast(IO[str], gzip.open(path, "rt", encoding="utf-8-sig", newline=""))
    return path.open(encoding="utf-8-sig", newline="")


class Lines:
    """Lines of a file, which are counted before they are held: of a row, and of all that a packed file holds.

    Raises:
        SourceError: a row or the file is longer than is read.
    """

    def __init__(self, path: Path, stream: IO[str]) -> None:
        self.path, self._stream = path, stream
        self._most = max(_UNPACKED, _UNPACKED_TIMES * path.stat().st_size)  # a plain file never comes to that
        self._read = 0
        self._row = 0
        self.number = 0
        """Of the line that was read last, from 1."""
        self.rows = 0
        """That ended."""

    def __iter__(self) -> Iterator[str]:
        while line := self._stream.readline(MAX_ROW + 1 - self._row):
            self.number += 1
            self._row += len(line)
            self._read += len(line)
            if self._row > MAX_ROW:
                raise SourceError(
                    f"{self.path}: the row that line {self.number} belongs to has more than {MAX_ROW:,} characters, "
                    "which are not read. Does a quote lack its closing one?"
                )
            if self._read > self._most:
                raise SourceError(
                    f"{self.path}: unpacks to more than {self._most:,} characters, which are not read. Unpack it, or "
                    "split it into smaller files."
                )
            yield line

    def next_row(self) -> None:
        """The next line is another row's."""
        self._row = 0
        self.rows += 1


def few_cells(lines: Lines, separator: str) -> Iterator[str]:
    """The lines, while those of a row have as many separators as are read.

    Raises:
        SourceError: they have more.
    """
    row = count = 0
    for line in lines:
        row, count = (row, count) if row == lines.rows else (lines.rows, 0)
        count += line.count(separator)
        if count > _MAX_SEPARATORS:
            raise SourceError(
                f"{lines.path}: the row that line {lines.number} belongs to has more than {_MAX_SEPARATORS:,} "
                f"{separator!r}, which are not read. Is it another file?"
            )
        yield line
