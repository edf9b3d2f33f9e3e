"""Rows of anybody's table (csv, jsonl, parquet) as examples to predict."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from interbert.errors import ConfigError, DataError, first_line
from interbert.extraction.columns import id_text
from interbert.extraction.given import read_boxes
from interbert.extraction.table_limits import MAX_TEXT, MAX_TEXTS
from interbert.extraction.tables import read_rows
from interbert.utils.bounded_files import json_value
from interbert.vl_tasks.example import Box, Example
from interbert.vl_tasks.task import HeadKind

_FAR = 10_000_000
"""Pixels of an image whose size is not known: boxes are cut at its edges when its regions are read."""


@dataclass(frozen=True)
class Columns:
    """Columns of a table; None where the model reads no such thing."""

    id: str | None
    """None counts the rows from 0."""
    text: str | None
    second_text: str | None
    choices: str | None
    """A list of texts, or JSON text of one."""
    images: tuple[str, ...]
    """Of each image of an example the column with its id; of a column of image files each row is an image itself."""
    boxes: str | None
    """Boxes x1, y1, x2, y2 in pixels, a list or JSON text of one."""
    images_are_ids: bool


def read_examples(source: str, columns: Columns, head: HeadKind) -> list[Example]:
    """Examples without targets, one a row.

    Raises:
        SourceError: the table is missing, empty or cannot be read.
        ColumnError: a column is missing, with the nearest name that exists.
        DataError: a row has no text, no image id, no choices or no boxes; it is named.
    """
    found = read_rows(source)
    wanted = (columns.id, columns.text, columns.second_text, columns.choices, *columns.images, columns.boxes)
    found.require(wanted, source)
    light = [name for name in dict.fromkeys(wanted) if name is not None]
    if not columns.images_are_ids:
        light = [name for name in light if name not in columns.images]
    values = {name: list(found.rows[name]) for name in light}
    rows = [{name: of[row] for name, of in values.items()} for row in range(len(found.rows))]
    examples = [_example(one, columns, head, f"{source}, row {row}", str(row)) for row, one in enumerate(rows)]
    _require_different(source, examples)
    return examples


def _example(row: dict[str, Any], columns: Columns, head: HeadKind, where: str, number: str) -> Example:
    name = number if columns.id is None else _id(row[columns.id], columns.id, where)
    images: tuple[str, ...] = (number,) if columns.images else ()
    if columns.images_are_ids:
        images = tuple(_id(row[column], column, where) for column in columns.images)
    texts: tuple[str, ...] = () if columns.text is None else (_text(row[columns.text], columns.text, where),)
    seconds: tuple[str, ...] = ()
    if columns.second_text is not None:
        seconds = (_text(row[columns.second_text], columns.second_text, where),)
    if head == "choices":
        if columns.choices is None:
            raise ConfigError("this model chooses among texts of each row: name their column with --choices-column.")
        seconds = _choices(row[columns.choices], columns.choices, where)
        texts = texts * len(seconds)
    boxes: tuple[Box, ...] = ()
    if columns.boxes is not None:
        read = read_boxes(row[columns.boxes], "xyxy", (_FAR, _FAR), where).tolist()
        boxes = tuple((x1, y1, x2, y2) for x1, y1, x2, y2 in read)
    return Example(name, images, texts, seconds, boxes)


def _id(value: Any, column: str, where: str) -> str:
    found = id_text(value)
    if found is None:
        raise DataError(f"{where}: {column!r} is empty. Fill it, or leave the row out.")
    return found


def _text(value: Any, column: str, where: str) -> str:
    clean = "" if value is None else str(value).strip()
    if not clean or len(clean) > MAX_TEXT:
        problem = "is empty. Fill it" if not clean else f"has more than {MAX_TEXT:,} characters. Shorten it"
        raise DataError(f"{where}: {column!r} {problem}, or leave the row out.")
    return clean


def _choices(value: Any, column: str, where: str) -> tuple[str, ...]:
    try:
        listed = json_value(value) if isinstance(value, str) else value
    except ValueError as error:
        raise DataError(f"{where}: {column!r} is no JSON list of texts ({first_line(error)}).") from error
    if not isinstance(listed, list | tuple) or not 2 <= len(listed) <= MAX_TEXTS:
        raise DataError(f"{where}: {column!r} is no list of two or more texts.")
    return tuple(_text(one, column, where) for one in listed)


def _require_different(source: str, examples: Sequence[Example]) -> None:
    seen: dict[str, int] = {}
    for row, one in enumerate(examples):
        if seen.setdefault(one.id, row) != row:
            raise DataError(
                f"{source}, row {row}: id {one.id[:60]!r} stands in row {seen[one.id]}, too. Ids are unique."
            )
