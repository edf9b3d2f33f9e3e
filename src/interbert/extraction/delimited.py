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
from typing import Any, TextIO

from interbert.errors import SourceError

_TYPED = "\t|"
"""Separators that texts do not hold, so that nobody needs to quote; as caption files are read."""
_QUOTED = re.compile(r'"(?:[^"]|"")*"')
_MAX_CELL = 1 << 26


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

    def options(self) -> dict[str, Any]:
        """For the csv reader of ``datasets``: cells as texts, and no texts that pandas takes for missing."""
        import datasets

        options: dict[str, Any] = {"sep": self.separator, "keep_default_na": False, "na_values": [""]}
        if not self.quoted:
            options["quoting"] = csv.QUOTE_NONE
        if all(self.names):
            options["features"] = datasets.Features({name: datasets.Value("string") for name in self.names})
        return options


def table_form(file: Path) -> TableForm:
    """How a file is written.

    Raises:
        SourceError: it is no text in UTF-8, a row has more cells than the header, or a quote swallows lines; file and
            line are named.
    """
    try:
        with _long_cells():
            separator = _separator(file)
            quoted = separator not in _TYPED or _is_quoted(file, separator)
            with _opened(file) as lines:
                names, filled = _check_rows(file, lines, separator, quoted)
    except UnicodeDecodeError as error:
        raise SourceError(f"{file}: is no text in UTF-8. Save it as UTF-8.") from error
    except (OSError, csv.Error) as error:
        raise SourceError(f"{file}: cannot be read ({error}).") from error
    return TableForm(separator, quoted, tuple(names), filled)


def _opened(file: Path) -> TextIO:
    return file.open(encoding="utf-8-sig", newline="")


@contextmanager
def _long_cells() -> Iterator[None]:
    """Let the csv module read long texts: its limit is the whole process's."""
    before = csv.field_size_limit(_MAX_CELL)
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
    any_quote, all_doubled = False, True
    with _opened(file) as lines:
        header = next(lines, "").rstrip("\r\n").split(separator)
        whole = True
        for line in lines:
            row = line.rstrip("\r\n").split(separator)
            whole &= len(row) == len(header) or row == [""]
            if not whole:
                break
            for cell in row:
                if cell.startswith('"'):
                    any_quote = True
                    all_doubled &= bool(_QUOTED.fullmatch(cell)) and '""' in cell[1:-1]
    if whole:
        return all(_QUOTED.fullmatch(cell) for cell in header) or (any_quote and all_doubled)
    try:
        with _opened(file) as lines:
            return all(len(row) in (0, len(header)) for row in csv.reader(lines, delimiter=separator, strict=True))
    except csv.Error:
        return False


def _check_rows(file: Path, lines: TextIO, separator: str, quoted: bool) -> tuple[list[str], bool]:
    """The header, and whether there are rows; once every row is known to be read as it is meant.

    Raises:
        SourceError: a row has more cells than the header (a comma in a text would move everything after it), or goes
            over lines to a quote in the middle of a text.
    """
    taken: list[str] = []

    def noted() -> Iterator[str]:
        for line in lines:
            taken.append(line)
            yield line

    rows = csv.reader(noted(), delimiter=separator, quoting=csv.QUOTE_MINIMAL if quoted else csv.QUOTE_NONE)
    header = next(rows, [])
    taken.clear()
    filled = False
    for row in rows:
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
        taken.clear()
    return header, filled


def _closes(lines: Sequence[str], separator: str) -> bool:
    """Whether quotes close at the end of cells."""
    try:
        list(csv.reader(lines, delimiter=separator, strict=True))
    except csv.Error:
        return False
    return True
