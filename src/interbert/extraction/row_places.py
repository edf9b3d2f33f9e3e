"""Where a row of a source stands in its files: the file, and the line as editors count."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from pathlib import Path

from interbert.errors import SourceError
from interbert.extraction.delimited import table_form
from interbert.extraction.json_rows import records_are_lines

_MOST_BYTES = 1 << 28
"""Of files that are read again to count lines."""


class RowPlaces:
    """Lines of the rows of some files, counted once somebody asks.

    Args:
        files: of one table, in the order of their rows.
        rows: how many there are: where another number is counted, no line is told.
    """

    def __init__(self, files: Sequence[Path], rows: int) -> None:
        self._files = list(files)
        self._rows = rows
        self._lines: list[tuple[str, int]] | None = None

    def of(self, row: int) -> tuple[str, int | None]:
        """Name of the file and line of a row; "" where there are several files, and None, where that is not known."""
        if self._lines is None:
            self._lines = self._counted()
        if self._lines:
            return self._lines[row]
        return (self._files[0].name if len(self._files) == 1 else ""), None

    def _counted(self) -> list[tuple[str, int]]:
        try:
            if sum(file.stat().st_size for file in self._files) > _MOST_BYTES:
                return []
            found = [(file.name, line) for file in self._files for line in _lines_of(file)]
        except (OSError, UnicodeError, csv.Error, SourceError):
            return []
        return found if len(found) == self._rows else []


def _lines_of(file: Path) -> Iterator[int]:
    """The line that each row begins in, from 1."""
    suffix = file.suffix.lower()
    if suffix in (".csv", ".tsv"):
        yield from _table_lines(file)
    elif suffix in (".json", ".jsonl") and records_are_lines(file):
        with file.open(encoding="utf-8-sig") as lines:
            yield from (number for number, line in enumerate(lines, start=1) if line.strip())


def _table_lines(file: Path) -> Iterator[int]:
    form = table_form(file)
    with file.open(encoding="utf-8-sig", newline="") as lines:
        for _ in range(form.skipped):
            next(lines, "")
        if form.quoted:
            reader = csv.reader(lines, delimiter=form.separator)
        else:
            reader = csv.reader(lines, delimiter=form.separator, quoting=csv.QUOTE_NONE)
        header, begin = True, 1
        for cells in reader:
            if cells and not header:
                yield form.skipped + begin
            header = header and not cells
            begin = reader.line_num + 1
