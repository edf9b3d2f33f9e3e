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
from typing import Any, Literal

from interbert.errors import SourceError
from interbert.extraction.table_limits import BATCH_BYTES, MAX_CELL, MAX_COLUMNS, MAX_LINE

_TYPED = "\t|"
"""Separators that texts do not hold, so that nobody needs to quote; as caption files are read."""
_QUOTED = re.compile(r'"(?:[^"]|"")*"')
_SAID = re.compile(r'"?sep=([,;|\t])"?')
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
    skipped: int = 0
    """Lines above it: Excel's, which says the separator."""
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
        options |= {"names": list(self.columns), "header": 0, "skiprows": self.skipped}
        options["features"] = datasets.Features({name: datasets.Value("string") for name in self.columns})
        return options

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of the columns: a cell without one (the row numbers of pandas and R) has one by its place, and one
        that is there before has a number."""
        named = [name or f"column {place}" for place, name in enumerate(self.names, 1)]
        counts = [named[:place].count(name) for place, name in enumerate(named, 1)]
        return tuple(name if count == 1 else f"{name} ({count})" for name, count in zip(named, counts, strict=True))


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
            skipped = int(_said_separator(file) is not None)
            names, filled, longest = _check_rows(file, separator, quoted, skipped)
    except UnicodeDecodeError as error:
        raise SourceError(f"{file}: is no text in UTF-8. Save it as UTF-8.") from error
    except (OSError, csv.Error) as error:
        raise SourceError(f"{file}: cannot be read ({error}).") from error
    return TableForm(separator, quoted, tuple(names), filled, skipped, longest)


def records_of(file: Path) -> Iterator[tuple[int, list[str] | str]]:
    """First line and cells of each record, the header first, or what is wrong with its quotes.

    Bytes that are no UTF-8 are halves of surrogate pairs, as Python's ``surrogateescape`` makes them.
    """
    separator = _separator(file)
    with _long_cells():
        is_quoted = separator not in _TYPED or _begins_quoted(file)
        skipped = int(_said_separator(file) is not None)
        with file.open(encoding="utf-8-sig", errors="surrogateescape", newline="") as lines:
            for _ in range(skipped):
                lines.readline(100)
            quoting: Literal[0, 3] = csv.QUOTE_MINIMAL if is_quoted else csv.QUOTE_NONE
            rows = csv.reader(lines, delimiter=separator, quoting=quoting, strict=True)
            row: list[str] | str | None = []
            while row is not None:
                line = skipped + rows.line_num + 1
                try:
                    row = next(rows, None)
                except csv.Error as error:
                    row = f"cannot be read ({error})"
                if row is not None:
                    yield line, row


def _begins_quoted(file: Path) -> bool:
    with file.open(encoding="utf-8-sig", errors="replace", newline="") as lines:
        return lines.readline(100).startswith('"')


def _lines(file: Path) -> Iterator[str]:
    """Lines of a file from the header on, none of them longer than is read.

    Raises:
        SourceError: one is.
    """
    first = 2 if _said_separator(file) is not None else 1
    with file.open(encoding="utf-8-sig", newline="") as lines:
        if first == 2:
            lines.readline(100)
        for number, line in enumerate(iter(lambda: lines.readline(MAX_LINE + 1), ""), first):
            if len(line) > MAX_LINE:
                raise SourceError(
                    f"{file}: line {number} has more than {MAX_LINE:,} characters, which are not read. Is it a table?"
                )
            yield line


def _said_separator(file: Path) -> str | None:
    """What a first line such as ``sep=;`` says, which Excel reads and writes."""
    with file.open(encoding="utf-8-sig", errors="replace", newline="") as lines:
        found = _SAID.fullmatch(lines.readline(100).rstrip("\r\n"))
    return None if found is None else found.group(1)


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
    said = _said_separator(file)
    if said is not None or file.suffix.lower() == ".tsv":
        return said or "\t"
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


def _check_rows(file: Path, separator: str, quoted: bool, skipped: int) -> tuple[list[str], bool, int]:
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
                    f"{file}: the row that ends at line {skipped + rows.line_num + 1} or below has more than "
                    f"{MAX_LINE:,} characters, which are not read. Does a quote lack its closing one?"
                )
            yield line

    rows = csv.reader(noted(), delimiter=separator, quoting=csv.QUOTE_MINIMAL if quoted else csv.QUOTE_NONE)
    header = _next(rows, file, skipped) or []
    if len(header) > MAX_COLUMNS:
        raise SourceError(
            f"{file}: has {len(header):,} columns; at most {MAX_COLUMNS:,} are read. Leave some out, or check that its "
            f"cells are separated by {separator!r}."
        )
    taken.clear()
    filled, longest, size = False, 0, 0
    while (row := _next(rows, file, skipped)) is not None:
        filled |= bool(row)
        line = skipped + rows.line_num
        if len(row) > len(header):
            raise SourceError(
                f"{file}: line {line} has {len(row)} cells, the header {len(header)}. Put quotes around texts "
                f"that hold {separator!r}."
            )
        if len(taken) > 1 and not _closes(taken, separator):
            raise SourceError(
                f"{file}: line {line - len(taken) + 1} has a cell that begins with a quote, which is closed in the "
                f"middle of line {line}. Put quotes around the whole text and double those inside it."
            )
        longest, size = max(longest, size), 0
        taken.clear()
    return header, filled, longest


def _next(rows: Any, file: Path, skipped: int) -> list[str] | None:
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
            f"{file}: line {skipped + rows.line_num} has a cell of more than {MAX_CELL:,} characters, which are not "
            "read. Shorten it, or leave its column out; where it goes on over many lines, a quote is not closed."
        ) from error


def _closes(lines: Sequence[str], separator: str) -> bool:
    """Whether quotes close at the end of cells."""
    try:
        list(csv.reader(lines, delimiter=separator, strict=True))
    except csv.Error:
        return False
    return True
