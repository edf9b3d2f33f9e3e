"""Caption files of the field: (picture, text) pairs out of any of them.

Karpathy's JSON (COCO, Flickr30K, Flickr8K), COCO's own annotations, the published code's jsonline and its ``{id:
caption}`` JSON, MUGE's queries, Flickr30K's ``results.csv`` and ``.token`` files, and any jsonl, json list, csv or tsv
whose columns have usual names.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from interbert.errors import SourceError
from interbert.regions.json_stream import json_elements

_ID_NAMES = ("cocoid", "image_id", "img_id", "item_id", "item_ids", "product_id", "img_path", "filename", "file_name")
_MORE_ID_NAMES = ("image_name", "image", "img", "file", "key", "id", "imgid")
_TEXT_NAMES = ("sentences", "captions", "caption", "query_text", "query", "comment", "raw", "text", "title", "sentence")
_QUERIES = frozenset({"query_text", "query"})
_MAX_LINE = 1 << 22
_MAX_TEXT = 10_000


@dataclass(frozen=True)
class Caption:
    """One text of one picture."""

    picture: str
    """Its id or its file's name, as the caption file has it."""
    text: str
    field: str
    """``caption``, or ``query`` for what a shopper typed."""
    split: str
    """Karpathy's split, empty where the file has none."""


def read_captions(path: str | Path) -> Iterator[Caption]:
    """Every caption of a file, one after the other.

    Raises:
        SourceError: the file is missing, damaged, or not of a known kind; the message names the line.
    """
    file = Path(path).expanduser()
    if not file.is_file():
        raise SourceError(f"{file}: there is no such caption file.")
    if file.suffix.lower() in (".jsonl", ".jsonline", ".jsonlines"):
        yield from _from_json_lines(file)
    elif file.suffix.lower() == ".json":
        yield from _from_json(file)
    else:
        yield from _from_table(file)


def _from_json_lines(file: Path) -> Iterator[Caption]:
    for number, line in _lines(file):
        try:
            record = json.loads(line) if line.strip() else None
        except (ValueError, RecursionError) as error:
            raise SourceError(f"{file}: line {number} is no JSON. Is the file complete?") from error
        if record is not None:
            yield from _of_record(record, f"{file}, line {number}")


def _from_json(file: Path) -> Iterator[Caption]:
    found = False
    for number, (key, element) in enumerate(json_elements(file)):
        where = f"{file}, element {number}"
        if key is None or key == "annotations" or (key == "images" and _has_texts(element)):
            found = True
            yield from _of_record(element, where)
        elif key not in ("images", "licenses", "info", "dataset", "type", "categories") and _is_text(element):
            found = True
            for text in _plain_texts(element):
                yield Caption(key, text, "caption", "")
    if not found:
        raise SourceError(
            f"{file}: holds no captions of a known form (Karpathy's, COCO's, {{id: caption}}, or a list)."
        )


def _from_table(file: Path) -> Iterator[Caption]:
    """A table with a header, Flickr30K's ``name#number`` lines, or plain id and text."""
    lines = _lines(file)
    _, first = next(lines, (0, ""))
    if not first.strip():
        raise SourceError(f"{file}: the file is empty.")
    separator = "\t" if "\t" in first else "|" if "|" in first else ","
    header = [cell.strip().lower() for cell in next(csv.reader([first], delimiter=separator))]
    named = _choose(header, (*_ID_NAMES, *_MORE_ID_NAMES)), _choose(header, _TEXT_NAMES)
    quoting: Literal[0, 3] = 0 if separator == "," else 3  # QUOTE_MINIMAL, QUOTE_NONE
    rows = csv.reader((line for _, line in lines), delimiter=separator, quoting=quoting)
    if named[0] is not None and named[1] is not None:
        picture, text = header.index(named[0]), header.index(named[1])
        field = "query" if named[1] in _QUERIES else "caption"
    elif len(header) == 2:
        picture, text, field = 0, 1, "caption"
        yield from _of_cells(next(csv.reader([first], delimiter=separator, quoting=quoting)), 0, 1, field, file, 1)
    else:
        raise SourceError(
            f"{file}: its first line names no column of picture ids ({', '.join(_ID_NAMES[:4])} ...) and of texts "
            f"({', '.join(_TEXT_NAMES[1:5])} ...). Put a header on top."
        )
    try:
        for number, row in enumerate(rows, 2):
            if any(cell.strip() for cell in row):
                yield from _of_cells(row, picture, text, field, file, number)
    except csv.Error as error:
        raise SourceError(f"{file}: cannot be read as a table ({error}).") from error


def _of_cells(row: Sequence[str], picture: int, text: int, field: str, file: Path, number: int) -> Iterator[Caption]:
    if len(row) <= max(picture, text):
        raise SourceError(f"{file}: row {number} has {len(row)} cells; picture and text need {max(picture, text) + 1}.")
    name = row[picture].strip().rsplit("#", 1)[0]  # Flickr30K: 1000092795.jpg#0
    for clean in _plain_texts(row[text]):
        yield Caption(name, clean, field, "")


def _of_record(record: Any, where: str) -> Iterator[Caption]:
    if not isinstance(record, Mapping):
        raise SourceError(f"{where}: is no record of a picture and its texts.")
    picture = next((name for name in (*_ID_NAMES, *_MORE_ID_NAMES) if _is_id(record.get(name))), None)
    text = next((name for name in _TEXT_NAMES if _is_text(record.get(name))), None)
    if picture is None:
        if record.get("query_text") is not None:  # queries of a test set, whose answers are held back
            return
        raise SourceError(f"{where}: names no picture. Known names: {', '.join((*_ID_NAMES, *_MORE_ID_NAMES))}.")
    if text is None:
        if any(name in record for name in _TEXT_NAMES):  # empty: a picture without a caption
            return
        raise SourceError(f"{where}: has no text. Known names: {', '.join(_TEXT_NAMES)}.")
    pictures = record[picture] if isinstance(record[picture], list) else [record[picture]]
    field = "query" if text in _QUERIES else "caption"
    split = record.get("split")
    for clean in _plain_texts(record[text]):
        for one in pictures:
            yield Caption(str(one), clean, field, split if isinstance(split, str) else "")


def _has_texts(element: Any) -> bool:
    return isinstance(element, Mapping) and any(name in element for name in _TEXT_NAMES)


def _is_id(value: Any) -> bool:
    if isinstance(value, list):
        return bool(value) and all(_is_id(one) and not isinstance(one, list) for one in value)
    return isinstance(value, int | str) and not isinstance(value, bool) and bool(str(value).strip())


def _is_text(value: Any) -> bool:
    if isinstance(value, list):
        return bool(value) and all(_is_text(one) and not isinstance(one, list) for one in value)
    return isinstance(value, str) or (isinstance(value, Mapping) and isinstance(value.get("raw"), str))


def _plain_texts(value: Any) -> Iterator[str]:
    for one in value if isinstance(value, list) else [value]:
        text = one["raw"] if isinstance(one, Mapping) else one
        clean = " ".join(text[:_MAX_TEXT].encode("utf-8", "replace").decode("utf-8").replace("\0", " ").split())
        if clean:
            yield clean


def _choose(header: Sequence[str], names: Sequence[str]) -> str | None:
    return next((name for name in names if name in header), None)


def _lines(file: Path) -> Iterator[tuple[int, str]]:
    with file.open(encoding="utf-8-sig", newline="") as lines:
        number = 0
        try:
            while line := lines.readline(_MAX_LINE):
                number += 1
                if len(line) == _MAX_LINE:
                    raise SourceError(f"{file}: line {number} has more than {_MAX_LINE:,} characters; no caption file.")
                yield number, line.replace("\0", " ")
        except UnicodeDecodeError as error:
            raise SourceError(f"{file}: is no text in UTF-8 after line {number}. Save it as UTF-8.") from error
