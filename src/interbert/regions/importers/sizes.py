"""Pictures' sizes from a file beside the regions: VinVL's ``*.hw.tsv``, COCO's annotations, or a table."""

from __future__ import annotations

import csv
import json
import sqlite3
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from interbert.errors import RegionError, SourceError
from interbert.regions.caption_index import normal_id
from interbert.regions.importers.fields import whole_number
from interbert.regions.json_stream import json_elements

_IDS = ("image_id", "img_id", "file_name", "filename", "image", "id")
_MAX_LINE = 1 << 26


class SizeIndex:
    """Width and height by picture id, on disk.

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
            self._table.executemany("INSERT INTO sizes VALUES (?, ?, ?)", _named_twice(read(file)))
        except (UnicodeDecodeError, csv.Error, RegionError, OverflowError) as error:
            raise SourceError(f"{path}: cannot be read as sizes ({error}).") from error
        self._table.execute("CREATE INDEX by_id ON sizes (id)")
        if self._table.execute("SELECT 1 FROM sizes LIMIT 1").fetchone() is None:
            raise SourceError(f"{path}: holds no sizes.")

    def find(self, name: str) -> tuple[int, int] | None:
        """Width and height of a picture, None when they are not known."""
        for one in dict.fromkeys((name, normal_id(name))):
            found = self._table.execute("SELECT width, height FROM sizes WHERE id = ?", (one,)).fetchone()
            if found is not None:
                return int(found[0]), int(found[1])
        return None


def _named_twice(entries: Iterator[tuple[str, int, int]]) -> Iterator[tuple[str, int, int]]:
    for name, width, height in entries:
        for one in {name, normal_id(name)}:
            yield one, width, height


def _from_json(file: Path) -> Iterator[tuple[str, int, int]]:
    for key, element in json_elements(file):
        if key in (None, "images"):
            yield _of(element, str(file))


def _from_table(file: Path) -> Iterator[tuple[str, int, int]]:
    """``id<TAB>JSON`` with height and width in it, or a csv or tsv with a header."""
    with file.open(encoding="utf-8-sig", newline="") as lines:
        first = lines.readline(_MAX_LINE)
        lines.seek(0)
        if "{" in first:
            number = 0
            while line := lines.readline(_MAX_LINE):
                number += 1
                name, _, content = line.partition("\t")
                try:
                    element = json.loads(content)
                except (ValueError, RecursionError) as error:
                    raise SourceError(f"{file}: line {number} is no id and JSON.") from error
                element = element[0] if isinstance(element, list) and element else element
                yield _of(element, f"{file}, line {number}", name)
            return
        for number, row in enumerate(csv.DictReader(lines, delimiter="\t" if "\t" in first else ","), 2):
            yield _of(row, f"{file}, line {number}")


def _of(element: Any, where: str, name: str | None = None) -> tuple[str, int, int]:
    if not isinstance(element, Mapping):
        raise SourceError(f"{where}: is no size of a picture.")
    name = name or next((str(element[one]) for one in _IDS if element.get(one) is not None), None)
    width = element.get("width", element.get("image_w"))
    height = element.get("height", element.get("image_h"))
    if name is None or width is None or height is None:
        raise SourceError(f"{where}: an id, a width and a height are needed.")
    return name, whole_number(width, "the width", where), whole_number(height, "the height", where)
