"""csv and tsv files: what separates their cells, whether quotes around cells are part of the text, and what is refused.

In a csv file quotes are quoting. In a tsv file they are mostly what somebody typed (``12" pan``): a reader that takes
them for quoting swallows every line up to the next quote. But pandas and spreadsheets quote tsv files, too. Both kinds
are told apart by the whole file.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from interbert.errors import SourceError
from interbert.extraction.table_limits import BATCH_BYTES, MAX_CELL, MAX_COLUMNS, MAX_LINE

_TYPED = "\t|"
"""Separators that texts do not hold, so that nobody needs to quote; as caption files are read."""
_QUOTED = re.compile(r'"(?:[^"]|"")*"')
_CHUNK_ROWS = 10_000
"""Rows that ``datasets`` converts at a time, unless they are long."""


@dataclass(frozen=True)
class TableForm:
    """How the cells of a file are written."""

    separator: str
    quoted: bool
    """Quotes around a cell are not part of it."""
    names: tuple[str, ...]
    """Cells of the header."""
    filled: bool = field(default=True, compare=False)
    """There are rows below it."""
    longest: int = field(default=0, compare=False)
    """Characters of the longest row."""

    def options(self) -> dict[str, Any]:
        """For the csv reader of ``datasets``: cells as texts, and no texts that pandas takes for missing."""
        import datasets

        options: dict[str, Any] = {"sep": self.separator, "keep_default_na": False, "na_values": [""]}
        if self.longest * _CHUNK_ROWS > BATCH_BYTES:
            options["chunksize"] = max(1, BATCH_BYTES // self.longest)
        if not self.quoted:
            options["quoting"] = csv.QUOTE_NONE
        if all(self.names):
            options["features"] = datasets.Features({name: datasets.Value("string") for name in self.names})
        return options


def table_form(file: Path) -> TableForm:
    """How a file is written.

    Raises:
        SourceError: it is no text in UTF-8, a row has more cells than the header, a quote swallows lines, or a cell, a
            row or the header is longer than is read; file and line are named.
    """
    try:
        with _long_cells():
            separator = _separator(file)
            quoted = separator not in _TYPED or _is_quoted(file, separator)
            names, filled, longest = _check_rows(file, separator, quoted)
    except UnicodeDecodeError as error:
        raise SourceError(f"{file}: is no text in UTF-8. Save it as UTF-8.") from error
    except (OSError, csv.Error) as error:
        raise SourceError(f"{file}: cannot be read ({error}).") from error
    return TableForm(separator, quoted, tuple(names), filled, longest)


def _lines(file: Path) -> Iterator[str]:
    """Lines of a file, none of them longer than is read.

    Raises:
        SourceError: one is.
    """
    with file.open(encoding="utf-8-sig", newline="") as lines:
        for number, line in enumerate(iter(lambda: lines.readline(MAX_LINE + 1), ""), 1):
            if len(line) > MAX_LINE:
                raise SourceError(
                    f"{file}: line {number} has more than {MAX_LINE:,} characters, which are not read. Is it a table?"
                )
            yield line


@contextmanager
def _long_cells() -> Iterator[None]:
    """Let the csv module read long texts: its limit is the whole process's."""
    before = csv.field_size_limit(MAX_CELL)
    try:
        yield
    finally:
        csv.field_size_limit(before)


def _separator(file: Path) -> str:
    """What stands between a table's columns, by its first line."""
    if file.suffix.lower() == ".tsv":
        return "\t"
    with file.open(encoding="utf-8-sig", errors="replace", newline="") as lines:
        header = lines.readline(100_000)
    counts = {sign: header.count(sign) for sign in (",", ";", "\t", "|")}
    return max(counts, key=lambda sign: counts[sign])


def _is_quoted(file: Path, separator: str) -> bool:
    """Whether a program quoted the cells of a file in which nothing needs it.

    Where every line has all cells, each line is a row, and a program leaves quotes around the header's cells (it quotes
    everything), or around those cells alone that hold a quote, which it doubles. Else lines are parts of quoted cells,
    if all rows come out whole.
    """
    lines = _lines(file)
    header = next(lines, "").rstrip("\r\n").split(separator)
    whole, begun, doubled = True, False, True
    for line in lines:
        row = line.rstrip("\r\n").split(separator)
        whole &= len(row) == len(header) or row == [""]
        for cell in row:
            if cell.startswith('"'):
                begun = True
                doubled = doubled and bool(_QUOTED.fullmatch(cell)) and '""' in cell[1:-1]
        if not whole:
            break
    if whole:
        return all(_QUOTED.fullmatch(cell) for cell in header) or (begun and doubled)
    try:
        return all(len(row) in (0, len(header)) for row in csv.reader(_lines(file), delimiter=separator, strict=True))
    except csv.Error:
        return False


def _check_rows(file: Path, separator: str, quoted: bool) -> tuple[list[str], bool, int]:
    """The header, whether there are rows, and how long they are; once every row is known to be read as it is meant.

    Raises:
        SourceError: a row has more cells than the header (a comma in a text would move everything after it), goes over
            lines to a quote in the middle of a text, or is longer than is read.
    """
    taken: list[str] = []
    size = 0

    def noted() -> Iterator[str]:
        nonlocal size
        for line in _lines(file):
            taken.append(line)
            size += len(line)
            if size > MAX_LINE:
                raise SourceError(
                    f"{file}: the row that ends at line {rows.line_num + 1} or below has more than {MAX_LINE:,} "
                    "characters, which are not read. Does a quote lack its closing one?"
                )
            yield line

    rows = csv.reader(noted(), delimiter=separator, quoting=csv.QUOTE_MINIMAL if quoted else csv.QUOTE_NONE)
    header = _next(rows, file) or []
    if len(header) > MAX_COLUMNS:
        raise SourceError(
            f"{file}: has {len(header):,} columns; at most {MAX_COLUMNS:,} are read. Leave some out, or check that its "
            f"cells are separated by {separator!r}."
        )
    taken.clear()
    filled, longest, size = False, 0, 0
    while (row := _next(rows, file)) is not None:
        filled |= bool(row)
        if len(row) > len(header):
            raise SourceError(
                f"{file}: line {rows.line_num} has {len(row)} cells, the header {len(header)}. Put quotes around texts "
                f"that hold {separator!r}."
            )
        if len(taken) > 1 and not _closes(taken, separator):
            raise SourceError(
                f"{file}: line {rows.line_num - len(taken) + 1} has a cell that begins with a quote, which is closed "
                f"in the middle of line {rows.line_num}. Put quotes around the whole text and double those inside it."
            )
        longest, size = max(longest, size), 0
        taken.clear()
    return header, filled, longest


def _next(rows: Any, file: Path) -> list[str] | None:
    """The next row; None behind the last one.

    Raises:
        SourceError: it has a cell that is longer than is read.
    """
    try:
        return next(rows, None)
    except csv.Error as error:
        if "field limit" not in str(error):
            raise
        raise SourceError(
            f"{file}: line {rows.line_num} has a cell of more than {MAX_CELL:,} characters, which are not read. "
            "Shorten it, or leave its column out; where it goes on over many lines, a quote is not closed."
        ) from error


def _closes(lines: Sequence[str], separator: str) -> bool:
    """Whether quotes close at the end of cells."""
    try:
        list(csv.reader(lines, delimiter=separator, strict=True))
    except csv.Error:
        return False
    return True
