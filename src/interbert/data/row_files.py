"""Rows of files with named fields: .tsv or .txt, .csv, .jsonl or .ndjson, each plain or with .gz."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from interbert.data.file_lines import MAX_ROW, UNREADABLE, Lines, few_cells, opened
from interbert.errors import ColumnError, DataError, SourceError
from interbert.utils.bounded_files import json_value
from interbert.utils.texts import may_have_halves, too_long, whole_values

_SEPARATORS = {".tsv": "\t", ".txt": "\t", ".csv": ","}
_JSON_LINES = (".jsonl", ".ndjson")
_MOST_NAMED = 5
_MAX_COLUMNS = 10_000
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
        ColumnError: two columns of a table have one name.
    """
    yield from _read(path, what, lambda: _rows(path, what))


def read_json_lines(path: Path, what: str, whole_texts: bool = False) -> Iterator[tuple[int, Row | str]]:
    """As :func:`read_rows`, of a file of a JSON object a line, whatever its name ends in.

    Args:
        path: of the file.
        what: it holds, for messages.
        whole_texts: halves of pairs of surrogates, which neither tokenizers nor databases take, become U+FFFD.
    """

    def rows() -> Iterator[tuple[int, Row | str]]:
        with opened(path) as stream:
            yield from _json_rows(Lines(path, stream), whole_texts)

    yield from _read(path, what, rows)


def _read(
    path: Path, what: str, rows: Callable[[], Iterator[tuple[int, Row | str]]]
) -> Iterator[tuple[int, Row | str]]:
    if not path.is_file():
        raise SourceError(f"{path}: there is no such file of {what}.")
    try:
        yield from rows()
    except (*UNREADABLE, csv.Error) as error:
        raise SourceError(f"{path}: cannot be read ({error}). It should be text in UTF-8, whole.") from error


def read_lines(path: Path, what: str) -> Iterator[tuple[int, str]]:
    """Number and text of each line, without its end.

    Args:
        path: of a text file, plain or with .gz.
        what: it holds, for messages.

    Raises:
        SourceError: there is no such file, or it cannot be read.
    """
    if not path.is_file():
        raise SourceError(f"{path}: there is no such file of {what}.")
    try:
        with opened(path) as stream:
            lines = Lines(path, stream)
            for line in lines:
                lines.next_row()
                yield lines.number, line.rstrip("\r\n")
    except UNREADABLE as error:
        raise SourceError(f"{path}: cannot be read ({error}). It should be text in UTF-8, whole.") from error


def _rows(path: Path, what: str) -> Iterator[tuple[int, Row | str]]:
    kind = path.suffixes[-2] if path.suffix.lower() == ".gz" and len(path.suffixes) > 1 else path.suffix
    kind = kind.lower()
    if kind not in _SEPARATORS and kind not in _JSON_LINES:
        raise SourceError(f"{path}: {what} come as .tsv, .csv or .jsonl (or these with .gz), not as {kind!r}.")
    with opened(path) as stream:
        lines = Lines(path, stream)
        yield from _json_rows(lines) if kind in _JSON_LINES else _separated_rows(lines, _SEPARATORS[kind])


def _separated_rows(lines: Lines, separator: str) -> Iterator[tuple[int, Row | str]]:
    csv.field_size_limit(max(csv.field_size_limit(), MAX_ROW))  # the process's: never lowered
    # a tab-separated log has quotes as they were typed
    quoting: Literal[0, 3] = csv.QUOTE_NONE if separator == "\t" else csv.QUOTE_MINIMAL
    reader = csv.reader(few_cells(lines, separator), delimiter=separator, quoting=quoting)
    names = next(reader, None)
    if names is None:
        return
    if separator == "," and len(names) == 1 and ";" in names[0]:  # as spreadsheets write csv where , is in numbers
        names, separator = next(csv.reader(names, delimiter=";")), ";"
        reader = csv.reader(few_cells(lines, separator), delimiter=separator)
    lines.next_row()
    if len(names) > _MAX_COLUMNS:
        yield lines.number, f"has {len(names):,} columns, of which {_MAX_COLUMNS:,} at most are read"
        return
    twice = next((name for name in names if name and names.count(name) > 1), None)
    if twice is not None:
        raise ColumnError(f"{lines.path}: its first row names {twice[:40]!r} twice. Rename or remove one column.")
    for values in reader:
        lines.next_row()
        if not values:
            continue
        if len(values) != len(names):
            yield lines.number, f"has {len(values)} fields, the first row has {len(names)}"
        else:
            yield lines.number, dict(zip(names, values, strict=True))


def _json_rows(lines: Lines, whole_texts: bool = False) -> Iterator[tuple[int, Row | str]]:
    for number, line in enumerate(lines, start=1):
        lines.next_row()
        if not line.strip():
            continue
        try:
            row = json_value(line)
        except json.JSONDecodeError:
            yield number, "is no JSON"
            continue
        except ValueError as error:  # beyond a limit
            yield number, str(error)
            continue
        if whole_texts and may_have_halves(line):
            row = whole_values(row)
        yield number, row if isinstance(row, dict) else "is no JSON object"


def cell_text(value: Any) -> str:
    """A field as text; whole numbers are ids; anything else is none."""
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value).strip() if isinstance(value, str | int) and not isinstance(value, bool) else ""


QUERY_IDS = ("query-id", "query_id", "queryid", "qid")
"""Columns that name a query by its id."""
_IDS = ("_id", *QUERY_IDS, "text_id", "id")
_TEXTS = ("text", "query_text", "query", "title")


@dataclass(frozen=True)
class QueryTexts:
    """The texts of a file by query id."""

    where: str
    """The file, for messages."""
    texts: Mapping[str, str]


def read_query_texts(path: str | Path) -> QueryTexts:
    """Read a file of queries: .jsonl, .tsv or .csv with a first row of names, and these with .gz.

    Raises:
        SourceError: there is no such file, it is of another kind, or it is empty.
        ColumnError: it has no column of ids or of texts.
        DataError: rows have no id or no text, or one id has two texts; they are named.
    """
    where = str(path)
    texts: dict[str, str] = {}
    bad = BadRows(where)
    names: tuple[str, str] | None = None
    for number, row in read_rows(Path(path), "texts of queries"):
        if isinstance(row, str):
            bad.add(number, row)
            continue
        names = names or _columns(row, where)
        query, text = (cell_text(row.get(name)) for name in names)
        if not query or not text:
            bad.add(number, f"has no {names[1] if query else names[0]}")
        elif long := too_long(query, text):
            bad.add(number, long)
        elif texts.setdefault(query, text) != text:
            bad.add(number, f"query {query[:40]!r} has another text than before")
    bad.refuse()
    if not texts:
        raise SourceError(f"{where}: holds no texts of queries.")
    return QueryTexts(where, texts)


def _columns(row: Row, where: str) -> tuple[str, str]:
    found = [next((name for name in called if name in row), None) for called in (_IDS, _TEXTS)]
    if found[0] is None or found[1] is None:
        raise ColumnError(
            f"{where}: its first row names no column of query ids ({', '.join(_IDS)}) and of texts "
            f"({', '.join(_TEXTS)}). Columns: {', '.join(str(name)[:40] for name in list(row)[:8])}."
        )
    return found[0], found[1]
