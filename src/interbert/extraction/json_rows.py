"""JSON and JSON Lines files as rows, every text as it is written.

Read twice, a record at a time: once for the types of the columns, by all values of all files, and once into a temporary
Arrow file that is mapped into memory. A large file never lies in memory as a whole. Not by ``datasets``: see
:mod:`interbert.extraction.json_types`.
"""

from __future__ import annotations

import json
import shutil
import tempfile
import weakref
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from interbert.errors import NoRowsError, SourceError, first_line, writing
from interbert.extraction.json_types import JsonColumn, Names, characters, json_decoder
from interbert.extraction.table_limits import BATCH_BYTES, MAX_COLUMNS, MAX_DEPTH, MAX_RECORD, MAX_VALUES
from interbert.regions.json_stream import json_elements, json_values
from interbert.utils.bounded_files import is_deeper
from interbert.utils.texts import whole_text, whole_values

_BATCH = 1000
_DECODER = json_decoder()
Record = dict[str, Any]


def read_json_rows(files: Sequence[Path]) -> Any:
    """Rows of files as a ``datasets.Dataset``; columns that a file lacks are null in its rows.

    A file holds a record a line, a list of records, or records one after the other. A list of texts is a column
    ``text``.

    Raises:
        SourceError: a file is no JSON in UTF-8, or a record is none; file and line are named.
    """
    import datasets

    columns: dict[str, JsonColumn] = {}
    names = Names(MAX_COLUMNS)
    count = 0
    for record in _records(files):
        count += 1
        for name, value in record.items():
            if name not in columns:
                columns[name] = JsonColumn(names)
            columns[name].see(value)
        if len(columns) > MAX_COLUMNS:
            raise SourceError(
                f"{files[0]}: has more than {MAX_COLUMNS:,} columns, of which none are read: record {count} of its "
                "files is the first to go beyond. Give all records the same names."
            )
    if not count or not columns:
        raise NoRowsError(f"{files[0]}: holds no rows.")
    for column in columns.values():
        column.close()
    folder = tempfile.mkdtemp(prefix="interbert-json-")
    try:
        with writing(folder):
            _write(Path(folder, "rows.arrow"), files, columns)
        rows = datasets.Dataset.from_file(str(Path(folder, "rows.arrow")))
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    weakref.finalize(rows, shutil.rmtree, folder, ignore_errors=True)
    return rows


def _write(path: Path, files: Sequence[Path], columns: dict[str, JsonColumn]) -> None:
    import pyarrow as pa

    types = {name: column.arrow_type() for name, column in columns.items()}
    ways = {name: column.converter() for name, column in columns.items()}
    schema = pa.schema([(whole_text(name), kind) for name, kind in types.items()])
    records = _records(files)
    with pa.ipc.new_stream(str(path), schema) as stream:
        while batch := _batch(records):
            arrays = []
            for name, kind in types.items():
                values, way = [record.get(name) for record in batch], ways[name]
                arrays.append(_array(values if way is None else [way(value) for value in values], kind))
            stream.write_batch(pa.record_batch(arrays, schema=schema))


def _batch(records: Iterator[Record]) -> list[Record]:
    """The next records, as many as are held at a time."""
    batch: list[Record] = []
    size = 0
    for record in islice(records, _BATCH):
        batch.append(record)
        size += characters(record)
        if size > BATCH_BYTES:
            break
    return batch


def _array(values: list[Any], kind: Any) -> Any:
    import pyarrow as pa

    try:
        return pa.array(values, kind)
    except UnicodeEncodeError:  # half of a pair of surrogates: a title that was cut in the middle of an emoji
        return pa.array(whole_values(values), kind)


def _records(files: Sequence[Path]) -> Iterator[Record]:
    for file in files:
        try:
            yield from _of_file(file)
        except UnicodeDecodeError as error:
            raise SourceError(f"{file}: is no text in UTF-8. Save it as UTF-8.") from error
        except OSError as error:
            raise SourceError(f"{file}: cannot be read ({error.strerror}).") from error


def _of_file(file: Path) -> Iterator[Record]:
    first = _first_line(file)
    if first.startswith("["):
        yield from _of_list(file)
    elif first:
        yield from _of_lines(file) if _is_whole(first) else _of_values(file)


def _first_line(file: Path) -> str:
    with file.open(encoding="utf-8-sig") as lines:
        return next((line for line in iter(lambda: lines.readline(MAX_RECORD), "") if line.strip()), "").strip()


def records_are_lines(file: Path) -> bool:
    """Whether a file holds a record a line, by its first one."""
    first = _first_line(file)
    return first.startswith("{") and _is_whole(first)


def problem_of(line: str) -> str | None:
    """What is wrong with one line of a file; None of a record."""
    try:
        _of_line(line, "")
    except SourceError as error:
        return str(error).strip()
    return None


def _of_list(file: Path) -> Iterator[Record]:
    for number, (_, element) in enumerate(json_elements(file, json_decoder(), MAX_VALUES)):
        # a list of texts has one column, as in `datasets`
        yield _record({"text": element} if isinstance(element, str) else element, f"{file}: element {number}")


def _of_values(file: Path) -> Iterator[Record]:
    """Records over several lines each."""
    for number, value in enumerate(json_values(file, json_decoder(), MAX_VALUES)):
        yield _record(value, f"{file}: record {number}")


def _of_lines(file: Path) -> Iterator[Record]:
    with file.open(encoding="utf-8-sig") as lines:
        for number, line in enumerate(iter(lambda: lines.readline(MAX_RECORD), ""), 1):
            if line.strip():
                yield _of_line(line, f"{file}: line {number}")


def _of_line(line: str, where: str) -> Record:
    text = line.strip()
    if len(line) == MAX_RECORD:
        raise SourceError(f"{where} has more than {MAX_RECORD:,} characters. Is it a table?")
    if text.count(",") > MAX_VALUES:
        raise SourceError(f"{where} has more than {MAX_VALUES:,} values, which are not read. Is it one record?")
    try:
        value = _DECODER.decode(text)
    except RecursionError as error:
        raise _too_deep(where) from error
    except ValueError as error:
        reason = first_line(error, 80).split(": line 1 ")[0]
        raise SourceError(f"{where} is no JSON ({reason}). Is the file complete?") from error
    return _record(value, where)


def _too_deep(where: str) -> SourceError:
    return SourceError(f"{where} is nested deeper than {MAX_DEPTH} levels, which are not read. Write it as text.")


def _is_whole(line: str) -> bool:
    if line.count(",") > MAX_VALUES:
        return len(line) < MAX_RECORD  # refused where lines are read, with its number
    try:
        json_decoder().decode(line)
    except RecursionError:
        return True  # likewise
    except ValueError:
        return False
    return True


def _record(value: Any, where: str) -> Record:
    if not isinstance(value, dict):
        raise SourceError(f"{where} is no record, but {json.dumps(value)[:60]}. Records stand in braces: {{...}}.")
    if is_deeper(value, 1 + MAX_DEPTH):
        raise _too_deep(where)
    return value
