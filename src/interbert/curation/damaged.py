"""Tables of text of which a part cannot be read: a download that was cut off, or one bad line among millions."""

from __future__ import annotations

import csv
import json
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from interbert.errors import SourceError, writing
from interbert.extraction.delimited import records_of
from interbert.extraction.json_rows import problem_of, records_are_lines
from interbert.extraction.json_types import WrittenNumber, json_decoder
from interbert.extraction.table_limits import MAX_RECORD, MAX_VALUES
from interbert.extraction.tables import SourceRows, read_rows
from interbert.regions.json_stream import json_elements, json_values

_DELIMITED, _LINES = (".csv", ".tsv"), (".jsonl", ".json")
_HEAD = 4096
_MOST_BAD = 10_000
"""Records of a file that cannot be read, beyond which it is no table."""


@dataclass(frozen=True)
class PartlyRead(SourceRows):
    """The records of a file that can be read."""

    problems: tuple[str, ...] = ()
    """What is wrong with each of the others."""


def read_sound_records(file: Path, error: SourceError) -> PartlyRead:
    """The records of a table of text that could not be read as a whole.

    Args:
        file: csv, tsv, or JSON, with a record a line or in a list.
        error: why it could not be read.

    Raises:
        SourceError: ``error``, of another file, or one without a record that can be read, or with too many bad ones.
        StorageError: there is no room for a copy.
    """
    kind = file.suffix.lower()
    if kind not in (*_DELIMITED, *_LINES) or not file.is_file():
        raise error
    problems: list[str] = []
    with tempfile.TemporaryDirectory(prefix="interbert-table-") as folder:
        sound = Path(folder, f"{file.stem}{'.csv' if kind in _DELIMITED else '.jsonl'}")
        try:
            with writing(folder):
                _copy(file, sound, problems)
            read = read_rows(str(sound))
        except (SourceError, csv.Error, UnicodeError):
            raise error from None
    if not problems:
        raise error
    return PartlyRead(read.rows, file.parent, left_out=read.left_out, problems=tuple(problems))


def _copy(file: Path, sound: Path, problems: list[str]) -> None:
    """Write the records that can be read, and note what is wrong with the others."""
    is_json = file.suffix.lower() in _LINES
    counted = "line" if not is_json or records_are_lines(file) else "element"
    with sound.open("w", encoding="utf-8", newline="") as written:
        rows = csv.writer(written)
        for line, record, problem in _lines(file) if is_json else _delimited(file):
            if problem is not None:
                problems.append(f"{counted} {line} {problem}")
                if len(problems) > _MOST_BAD:
                    raise SourceError(f"{file}: has more than {_MOST_BAD:,} lines that cannot be read.")
            elif isinstance(record, str):
                written.write(f"{record.rstrip()}\n")
            else:
                rows.writerow(record)


def _delimited(file: Path) -> Iterator[tuple[int, list[str], str | None]]:
    """First line of each row with its cells, the header first, and what is wrong with it."""
    records = records_of(file)
    line, header = next(records, (1, "is not there"))
    if isinstance(header, str) or not _is_text("".join(header)):
        raise SourceError(f"{file}: its header cannot be read.")
    yield line, header, None
    for line, cells in records:
        if isinstance(cells, str):
            yield line, [], cells
        elif not _is_text("".join(cells)):
            yield line, cells, "is no text in UTF-8"
        elif len(cells) > len(header):
            yield line, cells, f"has {len(cells)} cells, the header {len(header)}"
        elif cells:
            yield line, cells + [""] * (len(header) - len(cells)), None


def _lines(file: Path) -> Iterator[tuple[int, str, str | None]]:
    """Each record of JSON as one line, its number in the file, and what is wrong with it."""
    if not records_are_lines(file):
        yield from _elements(file)
        return
    with file.open(encoding="utf-8-sig", errors="surrogateescape") as lines:
        for number, line in enumerate(iter(lambda: lines.readline(MAX_RECORD), ""), 1):
            if line.strip():
                yield number, line, problem_of(line) if _is_text(line) else "is no text in UTF-8"


def _elements(file: Path) -> Iterator[tuple[int, str, str | None]]:
    """Elements of a list, or values one after the other, up to what cannot be read."""
    number = -1
    try:
        for number, element in enumerate(_values(file)):
            line = _written({"text": element} if isinstance(element, str) else element)
            yield number, line, problem_of(line)
    except SourceError as error:
        if number < 0:
            raise
        yield number + 1, "", f"and all behind it cannot be read ({str(error).partition(': ')[2].rstrip('.')})"


def _values(file: Path) -> Iterator[Any]:
    with file.open(encoding="utf-8-sig", errors="replace") as opened:
        is_list = opened.read(_HEAD).lstrip().startswith("[")
    if is_list:
        return (element for _, element in json_elements(file, json_decoder(), MAX_VALUES))
    return json_values(file, json_decoder(), MAX_VALUES)


def _written(value: Any) -> str:
    """JSON with each number as it was written, which an id may be."""
    if isinstance(value, WrittenNumber):
        return value.text
    if isinstance(value, dict):
        return "{" + ", ".join(f"{json.dumps(name)}: {_written(one)}" for name, one in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_written, value)) + "]"
    return json.dumps(value)


def _is_text(text: str) -> bool:
    return not any("\udc80" <= sign <= "\udcff" for sign in text)
