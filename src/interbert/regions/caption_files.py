"""Caption files of the field: (image, text) pairs out of any of them.

Karpathy's JSON (COCO, Flickr30K, Flickr8K), COCO's own annotations, the published code's jsonline and its ``{id:
caption}`` JSON, MUGE's queries, Chinese-CLIP's ``*_texts.jsonl`` and LMDB, Flickr30K's ``results.csv`` and ``.token``
files, COCO-CN's and Flickr30K-CN's lines, and any jsonl, json list, csv or tsv whose columns have usual names. What
gives no caption is listed, never passed over in silence.
"""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from interbert.errors import SourceError
from interbert.regions.caption_records import Caption, PassedOver, caption_lines, is_caption
from interbert.regions.chinese_captions import is_chinese_captions, read_chinese_captions
from interbert.regions.importers.clip_lmdb import is_lmdb, read_pairs
from interbert.regions.json_stream import json_elements
from interbert.regions.name_index import storable
from interbert.utils.bounded_files import MAX_LEVELS, is_deeper, json_value
from interbert.utils.texts import clean_text

_ID_NAMES = ("cocoid", "image_id", "img_id", "item_id", "item_ids", "product_id", "img_path", "filename", "file_name")
_MORE_ID_NAMES = ("image_name", "image", "img", "file", "key", "id", "imgid")
_TEXT_NAMES = ("sentences", "captions", "caption", "query_text", "query", "comment", "raw", "text", "title", "sentence")
_QUERIES = frozenset({"query_text", "query"})
_ID_LISTS = ("image_ids",)
"""Names of lists of ids, which only JSON has."""
_TEXTS_ALONE = ("query_text", "text_id")
"""What a record of a test set has, whose images are held back."""
_NUMBER_AND_TEXT = re.compile(r"\s*\d+\s+(\S.*)", re.DOTALL)
"""Flickr30K's results.csv has one line without its second separator: ``2199200615.jpg| 4   A dog runs ...``."""
_NUMBERED = re.compile(r"(.*\.(?:jpe?g|png|gif|bmp|webp))#\d+", re.IGNORECASE)
"""Flickr's ``.token`` files number the captions of an image: ``1000092795.jpg#0``. Other ids may hold a ``#``."""
_MAX_COLUMNS = 10_000
_MAX_CELL = 1 << 20
"""Characters of a table's cell."""
_MAX_CAPTIONS = 100_000
"""Captions of a record: each of its texts is one of each of its images."""


def read_captions(path: str | Path, passed_over: list[PassedOver] | None = None) -> Iterator[Caption]:
    """Every caption of a file, one after the other.

    Args:
        path: of the file.
        passed_over: takes what gives no caption, as it is read.

    Raises:
        SourceError: the file is missing, damaged, or not of a known kind; the message names the line.
    """
    file = Path(path).expanduser()
    passed = [] if passed_over is None else passed_over
    if file.is_dir() and is_lmdb(file):
        yield from _from_lmdb(file, passed)
        return
    if not file.is_file():
        raise SourceError(f"{file}: there is no such caption file.")
    if file.suffix.lower() in (".jsonl", ".jsonline", ".jsonlines"):
        yield from _from_json_lines(file, passed)
    elif file.suffix.lower() == ".json":
        yield from _from_json(file, passed)
    elif is_chinese_captions(file):
        yield from read_chinese_captions(file, passed)
    else:
        yield from _from_table(file, passed)


def _from_lmdb(folder: Path, passed: list[PassedOver]) -> Iterator[Caption]:
    for number, pair in enumerate(read_pairs(folder), 1):
        where = f"{folder}, record {number}"
        texts = [] if isinstance(pair, str) else list(_plain_texts(pair.text))
        if isinstance(pair, str) or not texts:
            passed.append(PassedOver(number, "", f"{where}: {pair if isinstance(pair, str) else 'has no text'}."))
            continue
        name = storable(str(pair.image_id))
        if is_caption(texts[0], name, where, number, passed):
            yield Caption(name, texts[0], "caption", "")


def _from_json_lines(file: Path, passed: list[PassedOver]) -> Iterator[Caption]:
    for number, line in caption_lines(file):
        try:
            record = json_value(line) if line.strip() else None
        except json.JSONDecodeError as error:
            raise SourceError(f"{file}: line {number} is no JSON. Is the file complete?") from error
        except ValueError as error:
            raise SourceError(f"{file}, line {number}: {error}.") from error
        if record is not None:
            yield from _of_record(record, f"{file}, line {number}", number, passed)


def _from_json(file: Path, passed: list[PassedOver]) -> Iterator[Caption]:
    found = False
    for number, (key, element) in enumerate(json_elements(file)):
        where = f"{file}, element {number}"
        if is_deeper(element, MAX_LEVELS):
            raise SourceError(f"{where}: it is nested deeper than {MAX_LEVELS} levels, which are not read.")
        if key is None or key == "annotations" or (key == "images" and _has_texts(element)):
            found = True
            yield from _of_record(element, where, number, passed)
        elif key not in ("images", "licenses", "info", "dataset", "type", "categories") and _is_text(element):
            found = True
            for text in _plain_texts(element):
                if is_caption(text, storable(key), where, number, passed):
                    yield Caption(storable(key), text, "caption", "")
    if not found:
        raise SourceError(
            f"{file}: holds no captions of a known form (Karpathy's, COCO's, {{id: caption}}, or a list)."
        )


def _from_table(file: Path, passed: list[PassedOver]) -> Iterator[Caption]:
    """A table with a header, Flickr30K's ``name#number`` lines, or plain id and text."""
    lines = caption_lines(file)
    _, first = next(lines, (0, ""))
    if not first.strip():
        raise SourceError(f"{file}: the file is empty.")
    separator = next(
        (sign for sign in ("\t", "|") if sign in first), ";" if first.count(";") > first.count(",") else ","
    )
    if first.count(separator) > _MAX_COLUMNS:
        raise SourceError(f"{file}: its first line has more than {_MAX_COLUMNS:,} columns. Is it a table of captions?")
    csv.field_size_limit(max(csv.field_size_limit(), _MAX_CELL))  # the process's: never lowered
    try:
        yield from _of_rows(file, first, lines, separator, passed)
    except csv.Error as error:
        raise SourceError(f"{file}: cannot be read as a table ({error}). Does a quote lack its closing one?") from error


def _of_rows(
    file: Path, first: str, lines: Iterator[tuple[int, str]], separator: str, passed: list[PassedOver]
) -> Iterator[Caption]:
    header = [cell.strip().lower() for cell in _within(next(csv.reader([first], delimiter=separator)))]
    named = _choose(header, (*_ID_NAMES, *_MORE_ID_NAMES)), _choose(header, _TEXT_NAMES)
    quoting: Literal[0, 3] = 0 if separator in ",;" else 3  # QUOTE_MINIMAL, QUOTE_NONE
    rows = csv.reader((line for _, line in lines), delimiter=separator, quoting=quoting)
    if named[0] is not None and named[1] is not None:
        image, text = header.index(named[0]), header.index(named[1])
        table = _Table(file, header, separator, image, text, "query" if named[1] in _QUERIES else "caption", passed)
    elif len(header) == 2:
        table = _Table(file, header, separator, 0, 1, "caption", passed)
        yield from table.captions(next(csv.reader([first], delimiter=separator, quoting=quoting)), 1)
    else:
        raise SourceError(
            f"{file}: its first line names no column of image ids ({', '.join(_ID_NAMES[:4])} ...) and of texts "
            f"({', '.join(_TEXT_NAMES[1:5])} ...). Put a header on top."
        )
    for number, row in enumerate(map(_within, rows), 2):
        if any(cell.strip() for cell in row):
            yield from table.captions(row, number)


def _within(row: list[str]) -> list[str]:
    """The row, unless a cell is too long: the limit of csv is the process's, which other readers may have raised.

    Raises:
        csv.Error: as csv raises it.
    """
    if any(len(cell) > _MAX_CELL for cell in row):
        raise csv.Error(f"field larger than field limit ({_MAX_CELL})")
    return row


@dataclass(frozen=True)
class _Table:
    """Columns of a table, and where its unusable rows go."""

    file: Path
    header: Sequence[str]
    separator: str
    image: int
    text: int
    field: str
    passed: list[PassedOver]

    def captions(self, row: Sequence[str], number: int) -> Iterator[Caption]:
        """Of one row; ``number`` counts from 1, with the header."""
        name = row[self.image].strip() if len(row) > self.image else ""
        name = storable(_NUMBERED.sub(r"\1", name))
        text = self._text(row)
        texts = [] if text is None else list(_plain_texts(text))
        if not name or not texts:
            reason = "has no text" if name and text is not None else "names no image"
            if text is None:
                reason = (
                    f"has {len(row)} cells, the first row has {len(self.header)}; image and text are cells "
                    f"{self.image + 1} and {self.text + 1}"
                )
            self.passed.append(PassedOver(number, name, f"{self.file}, row {number} {reason}."))
        for one in texts if name else ():
            if is_caption(one, name, f"{self.file}, row {number}", number, self.passed):
                yield Caption(name, one, self.field, "")

    def _text(self, row: Sequence[str]) -> str | None:
        """The text's cell; None when the row has fewer or more cells than the header, so that it may be another."""
        last = self.text == len(self.header) - 1
        if len(row) == len(self.header) - 1 and last and self.header[-2:-1] == ["comment_number"]:
            found = _NUMBER_AND_TEXT.fullmatch(row[-1])
            return None if found is None else found.group(1)
        if len(row) <= max(self.text, self.image):
            return None
        if any(cell.strip() for cell in row[len(self.header) :]):
            # without quotes a separator in the last cell can only be the text's own
            return self.separator.join(row[self.text :]) if last and self.separator != "," else None
        return row[self.text]


def _of_record(record: Any, where: str, number: int, passed: list[PassedOver]) -> Iterator[Caption]:
    if not isinstance(record, Mapping):
        raise SourceError(f"{where}: is no record of an image and its texts.")
    id_names = (*_ID_NAMES, *_ID_LISTS, *_MORE_ID_NAMES)
    image = next((name for name in id_names if _is_id(record.get(name))), None)
    text = next((name for name in _TEXT_NAMES if _is_text(record.get(name))), None)
    if image is None:
        if not any(name in record for name in (*_TEXTS_ALONE, *_ID_LISTS)):
            raise SourceError(f"{where}: names no image. Known names: {', '.join(id_names)}.")
        passed.append(PassedOver(number, "", f"{where}: names no image."))
        return
    images = record[image] if isinstance(record[image], list) else [record[image]]
    names = [storable(str(int(one) if isinstance(one, float) else one)) for one in images]
    if text is None and not any(name in record for name in _TEXT_NAMES):
        raise SourceError(f"{where}: has no text. Known names: {', '.join(_TEXT_NAMES)}.")
    texts = [] if text is None else list(_plain_texts(record[text]))
    if not texts:
        passed += [PassedOver(number, name, f"{where}: has no text.") for name in names]
    if len(texts) * len(names) > _MAX_CAPTIONS:
        raise SourceError(
            f"{where}: has {len(texts):,} texts of {len(names):,} images; at most {_MAX_CAPTIONS:,} captions of a "
            "record are read. Is it one record?"
        )
    split = record.get("split")
    for clean in texts:
        for name in names:
            if is_caption(clean, name, where, number, passed):
                yield Caption(
                    name, clean, "query" if text in _QUERIES else "caption", split if isinstance(split, str) else ""
                )


def _has_texts(element: Any) -> bool:
    return isinstance(element, Mapping) and any(name in element for name in _TEXT_NAMES)


def _is_id(value: Any) -> bool:
    if isinstance(value, list):
        return bool(value) and all(_is_id(one) and not isinstance(one, list) for one in value)
    if isinstance(value, float):
        return value.is_integer()
    return isinstance(value, int | str) and not isinstance(value, bool) and bool(str(value).strip())


def _is_text(value: Any) -> bool:
    if isinstance(value, list):
        return bool(value) and all(_is_text(one) and not isinstance(one, list) for one in value)
    return isinstance(value, str) or (isinstance(value, Mapping) and isinstance(value.get("raw"), str))


def _plain_texts(value: Any) -> Iterator[str]:
    for one in value if isinstance(value, list) else [value]:
        text = one["raw"] if isinstance(one, Mapping) else one
        clean = clean_text(text)
        if clean:
            yield clean


def _choose(header: Sequence[str], names: Sequence[str]) -> str | None:
    return next((name for name in names if name in header), None)
