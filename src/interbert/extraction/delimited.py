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
_SAID = re.compile(r'"?sep=([,;|\t])"?')
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
    skipped: int = 0
    """Lines above it: Excel's, which says the separator."""

    def options(self) -> dict[str, Any]:
        """For the csv reader of ``datasets``: cells as texts, and no texts that pandas takes for missing."""
        import datasets

        options: dict[str, Any] = {"sep": self.separator, "keep_default_na": False, "na_values": [""]}
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
        SourceError: it is no text in UTF-8, a row has more cells than the header, or a quote swallows lines; file and
            line are named.
    """
    try:
        with _long_cells():
            separator = _separator(file)
            quoted = separator not in _TYPED or _is_quoted(file, separator)
            skipped = int(_said_separator(file) is not None)
            with _opened(file) as lines:
                names, filled = _check_rows(file, lines, separator, quoted, skipped)
    except UnicodeDecodeError as error:
        raise SourceError(f"{file}: is no text in UTF-8. Save it as UTF-8.") from error
    except (OSError, csv.Error) as error:
        raise SourceError(f"{file}: cannot be read ({error}).") from error
    return TableForm(separator, quoted, tuple(names), filled, skipped)


def _opened(file: Path) -> TextIO:
    """The file's lines from the header on."""
    lines = file.open(encoding="utf-8-sig", newline="")
    if _said_separator(file) is not None:
        lines.readline(100)
    return lines


def _said_separator(file: Path) -> str | None:
    """What a first line such as ``sep=;`` says, which Excel reads and writes."""
    with file.open(encoding="utf-8-sig", errors="replace", newline="") as lines:
        found = _SAID.fullmatch(lines.readline(100).rstrip("\r\n"))
    return None if found is None else found.group(1)


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


def _check_rows(file: Path, lines: TextIO, separator: str, quoted: bool, skipped: int) -> tuple[list[str], bool]:
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
        taken.clear()
    return header, filled


def _closes(lines: Sequence[str], separator: str) -> bool:
    """Whether quotes close at the end of cells."""
    try:
        list(csv.reader(lines, delimiter=separator, strict=True))
    except csv.Error:
        return False
    return True
