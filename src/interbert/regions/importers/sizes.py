"""Images' sizes from a file beside the regions: VinVL's ``*.hw.tsv``, COCO's annotations, or a table."""

from __future__ import annotations

import csv
import sqlite3
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from interbert.errors import RegionError, SourceError
from interbert.regions.importers.fields import json_from, whole_number
from interbert.regions.json_stream import json_elements
from interbert.regions.name_index import NameIndex, Namer, storable

_IDS = ("image_id", "img_id", "file_name", "filename", "image", "id")
_MAX_LINE = 1 << 24
"""Characters; a prediction of VinVL, which has sizes too, takes less than 1 million."""
_MAX_COLUMNS = 1000


class SizeIndex:
    """Width and height by image id, on disk.

    Raises:
        SourceError: the file is missing, damaged, or of no known kind.
    """

    def __init__(self, path: str) -> None:
        file = Path(path).expanduser()
        if not file.is_file():
            raise SourceError(f"{path}: there is no such file of sizes.")
        self.path = path
        self._table = sqlite3.connect("")
        self._table.execute("CREATE TABLE sizes (id TEXT, width INTEGER, height INTEGER)")
        read = _from_json if file.suffix.lower() == ".json" else _from_table
        try:
            self._table.executemany("INSERT INTO sizes VALUES (?, ?, ?)", read(file))
        except (UnicodeDecodeError, csv.Error, RegionError, OverflowError) as error:
            raise SourceError(f"{path}: cannot be read as sizes ({error}).") from error
        self._table.execute("CREATE INDEX by_id ON sizes (id)")
        if self._table.execute("SELECT 1 FROM sizes LIMIT 1").fetchone() is None:
            raise SourceError(f"{path}: holds no sizes.")
        self._names = NameIndex((str(one) for (one,) in self._table.execute("SELECT DISTINCT id FROM sizes")), path)

    def compare(self, images: Namer) -> None:
        """Say which images will be asked for, so that none takes another's size: see :meth:`NameIndex.among`."""
        self._names = self._names.among(images)

    def find(self, image: str) -> tuple[int, int] | None:
        """Width and height of an image, None when they are not known, or when it is not certain which they are."""
        name = self._names.find(image).name
        sizes = [] if name is None else self._sizes_of(name)
        return sizes[0] if len(sizes) == 1 else None

    def problem(self, image: str) -> str:
        """Why an image has no size here, for messages."""
        match = self._names.find(image)
        if match.name is None:
            return match.problem or f"{self.path} does not have {image!r}"
        (width, height), (other_width, other_height), *_ = self._sizes_of(match.name)
        return f"{match.name!r} is {width}x{height} and {other_width}x{other_height} in {self.path}"

    def _sizes_of(self, name: str) -> list[tuple[int, int]]:
        return self._table.execute("SELECT DISTINCT width, height FROM sizes WHERE id = ?", (name,)).fetchall()


def _from_json(file: Path) -> Iterator[tuple[str, int, int]]:
    for key, element in json_elements(file):
        if key in (None, "images"):
            yield _of(element, str(file))


def _from_table(file: Path) -> Iterator[tuple[str, int, int]]:
    """``id<TAB>JSON`` with height and width in it, or a csv or tsv with a header."""
    first = next(_lines(file), "")
    if "{" in first:
        for number, line in enumerate(_lines(file), 1):
            where = f"{file}, line {number}"
            name, _, content = line.partition("\t")
            element = json_from(content.encode(), where)
            element = element[0] if isinstance(element, list) and element else element
            yield _of(element, where, name)
        return
    separator = "\t" if "\t" in first else ","
    if first.count(separator) > _MAX_COLUMNS:
        raise SourceError(f"{file}: has more than {_MAX_COLUMNS:,} columns; it is no table of sizes.")
    for number, row in enumerate(csv.DictReader(_lines(file), delimiter=separator), 2):
        yield _of(row, f"{file}, line {number}")


def _lines(file: Path) -> Iterator[str]:
    with file.open(encoding="utf-8-sig", newline="") as lines:
        number = 0
        while line := lines.readline(_MAX_LINE + 1):
            number += 1
            if len(line) > _MAX_LINE:
                raise SourceError(f"{file}: line {number} has more than {_MAX_LINE:,} characters. Is it another file?")
            yield line


def _of(element: Any, where: str, name: str | None = None) -> tuple[str, int, int]:
    if not isinstance(element, Mapping):
        raise SourceError(f"{where}: is no size of an image.")
    name = name or next((str(element[one]) for one in _IDS if element.get(one) is not None), None)
    width = element.get("width", element.get("image_w"))
    height = element.get("height", element.get("image_h"))
    if name is None or width is None or height is None:
        raise SourceError(f"{where}: an id, a width and a height are needed.")
    return storable(name.strip()), whole_number(width, "the width", where), whole_number(height, "the height", where)
