"""Rows of files with named fields: .tsv or .txt, .csv, .jsonl or .ndjson, each plain or with .gz."""

from __future__ import annotations

import csv
import gzip
import json
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, Any, cast

from interbert.errors import DataError, SourceError

_SEPARATORS = {".tsv": "\t", ".txt": "\t", ".csv": ","}
_JSON_LINES = (".jsonl", ".ndjson")
_MOST_NAMED = 5
_LONGEST_FIELD = 1 << 28
"""KDD Cup's files carry the regions of a picture in a field."""

Row = Mapping[str, Any]


class BadRows:
    """Rows that cannot be used: a few are named, and then the file is refused."""

    def __init__(self, where: str) -> None:
        self._where = where
        self._named: list[tuple[int, str]] = []
        self._count = 0

    def add(self, number: int, reason: str) -> None:
        """One row, and what is wrong with it."""
        self._count += 1
        if len(self._named) <= _MOST_NAMED:
            self._named.append((number, reason))

    def refuse(self) -> None:
        """Do nothing when there are none.

        Raises:
            DataError: there are; the first is named with its reason.
        """
        if not self._named:
            return
        number, reason = self._named[0]
        others = ", ".join(str(one) for one, _ in self._named[1:])
        dots = ", ..." if self._count > len(self._named) else ""
        more = f" {self._count - 1} more bad rows: {others}{dots}." if others else ""
        raise DataError(f"{self._where}, row {number}: {reason}.{more} Mend or remove them.")


def read_rows(path: Path, what: str) -> Iterator[tuple[int, Row | str]]:
    """Number, counted as editors count lines, and fields of each row, or what is wrong with it.

    Args:
        path: of the file.
        what: it holds, for messages.

    Raises:
        SourceError: there is no such file, it is of another kind, or it cannot be read.
    """
    if not path.is_file():
        raise SourceError(f"{path}: there is no such file of {what}.")
    try:
        yield from _rows(path, what)
    except (OSError, EOFError, UnicodeDecodeError, csv.Error) as error:
        raise SourceError(f"{path}: cannot be read ({error}). It should be text in UTF-8, whole.") from error


def _rows(path: Path, what: str) -> Iterator[tuple[int, Row | str]]:
    kind = path.suffixes[-2] if path.suffix == ".gz" and len(path.suffixes) > 1 else path.suffix
    kind = kind.lower()
    if kind not in _SEPARATORS and kind not in _JSON_LINES:
        raise SourceError(f"{path}: {what} come as .tsv, .csv or .jsonl (or these with .gz), not as {kind!r}.")
    with _opened(path) as lines:
        yield from _json_rows(lines) if kind in _JSON_LINES else _separated_rows(lines, _SEPARATORS[kind])


def _opened(path: Path) -> IO[str]:
    if path.suffix == ".gz":
        return cast(IO[str], gzip.open(path, "rt", encoding="utf-8-sig", newline=""))
    return path.open(encoding="utf-8-sig", newline="")


def _separated_rows(lines: IO[str], separator: str) -> Iterator[tuple[int, Row | str]]:
    csv.field_size_limit(max(csv.field_size_limit(), min(sys.maxsize, _LONGEST_FIELD)))  # the process's: never lowered
    # a tab-separated log has quotes as they were typed
    reader = csv.reader(lines, delimiter=separator, quoting=csv.QUOTE_NONE if separator == "\t" else csv.QUOTE_MINIMAL)
    names = next(reader, None)
    if names is None:
        return
    passed = 0
    if separator == "," and len(names) == 1 and ";" in names[0]:  # as spreadsheets write csv where , is in numbers
        names, passed = next(csv.reader(names, delimiter=";")), reader.line_num
        reader = csv.reader(lines, delimiter=";")
    for values in reader:
        if not values:
            continue
        if len(values) != len(names):
            yield passed + reader.line_num, f"has {len(values)} fields, the first row has {len(names)}"
        else:
            yield passed + reader.line_num, dict(zip(names, values, strict=True))


def _json_rows(lines: IO[str]) -> Iterator[tuple[int, Row | str]]:
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except (ValueError, RecursionError):
            yield number, "is no JSON"
            continue
        yield number, row if isinstance(row, dict) else "is no JSON object"


def cell_text(value: Any) -> str:
    """A field as text; whole numbers are ids; anything else is none."""
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value).strip() if isinstance(value, str | int) and not isinstance(value, bool) else ""
