"""Tab-separated files of regions: lines of any length with a bound, and those of bottom-up attention and LXMERT."""

from __future__ import annotations

import glob
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from interbert.errors import RegionError, SourceError
from interbert.regions.importers.arrays import VISUAL_GENOME_CLASSES, spread
from interbert.regions.importers.fields import MAX_RECORD, array_field, region_count, text_of, whole_number
from interbert.regions.importers.rows import ForeignRegions, ForeignRow, ForeignSource

_MEGABYTE = 1e6
_MAX_CELLS = 100
"""Cells of a line; a known layout has 13 at most."""


@dataclass(frozen=True)
class Line:
    """One line of a file that holds anything."""

    row: int
    """Number over all files, from 0, without empty lines."""
    where: str
    position: float
    """Megabytes of all files behind its end."""
    offset: int
    """Of its first byte in its file."""
    content: bytes | None
    """Without the line's end; None when it is longer than 64 MiB."""

    def cells(self, count: int | None = None) -> list[bytes]:
        """What stands between the tabs.

        Raises:
            RegionError: the line is too long, or has another number of cells than ``count``, or more than 100.
        """
        if self.content is None:
            raise RegionError(f"{self.where}: is longer than {MAX_RECORD:,} bytes. Are its line ends missing?")
        found = self.content.count(b"\t") + 1
        if count is not None and found != count:
            raise RegionError(f"{self.where}: has {found:,} fields, not {count}.")
        if found > _MAX_CELLS:
            raise RegionError(f"{self.where}: has {found:,} fields; at most {_MAX_CELLS} are read.")
        return self.content.split(b"\t")


class LineFiles:
    """One file, or all that a pattern matches, in the order of their names.

    Raises:
        SourceError: there is none, or one is empty.
    """

    unit = "MB"

    def __init__(self, source: str) -> None:
        self.name = source
        path = Path(source).expanduser()
        if path.is_file():
            self.files = [path]
        elif path.is_dir():
            raise SourceError(
                f"{source}: is a folder. Name the file, or several with a pattern such as '{source}/*.tsv'."
            )
        else:
            self.files = [Path(one) for one in sorted(glob.glob(str(path), recursive=True)) if Path(one).is_file()]
        if not self.files:
            raise SourceError(f"{source}: there is no such file.")
        sizes = [file.stat().st_size for file in self.files]
        if not all(sizes):
            raise SourceError(f"{self.files[sizes.index(0)]}: the file is empty.")
        self.total = sum(sizes) / _MEGABYTE

    def __iter__(self) -> Iterator[Line]:
        row, behind = 0, 0
        for file in self.files:
            with file.open("rb") as stream:
                number, offset = 0, 0
                while raw := stream.readline(MAX_RECORD + 2):
                    number += 1
                    start, offset = offset, offset + len(raw)
                    content: bytes | None = raw.rstrip(b"\r\n")
                    if len(raw) > MAX_RECORD + 1 and not raw.endswith(b"\n"):
                        offset += _drain(stream)
                        content = None
                    if content is None or content.strip():
                        position = (behind + offset) / _MEGABYTE
                        yield Line(row, f"{file}, line {number}", position, start, content)
                        row += 1
                behind += offset

    def usual_columns(self, lines: int = 20) -> int:
        """How many cells most of the first lines have; a damaged first line does not mislead."""
        counts: Counter[int] = Counter()
        for line in self:
            if line.content is not None:
                counts[line.content.count(b"\t") + 1] += 1
            if line.row + 1 >= lines:
                break
        return counts.most_common(1)[0][0] if counts else 0


def _drain(stream: object) -> int:
    passed = 0
    while raw := stream.readline(MAX_RECORD):  # type: ignore[attr-defined]
        passed += len(raw)
        if raw.endswith(b"\n"):
            break
    return passed


FieldOrder = Literal["auto", "width,height", "height,width"]

_BOTTOM_UP = ("id", "width", "height", "num_boxes", "boxes", "features")
_LXMERT = (
    *("id", "height", "width", "objects_id", "objects_conf", "attrs_id", "attrs_conf"),
    *("num_boxes", "boxes", "features"),
)
_LAYOUTS: Mapping[int, tuple[str, ...]] = {
    6: _BOTTOM_UP,
    7: (*_BOTTOM_UP, "cls_prob"),
    10: _LXMERT,
    13: (*_LXMERT, "cls_prob", "attrs", "classes"),
}
_HEADERS = (b"image_id", b"img_id")
_SAMPLE = 100


class DetectorTsv(ForeignSource):
    """A file of either kind; which one, its number of columns says.

    Args:
        source: file, or a pattern of several.
        feature_size: floats of a region.
        num_classes: classes with background.
        field_order: of width and height in bottom-up attention's files; auto takes the order in which the boxes of the
            first 100 images lie inside them.

    Raises:
        SourceError: the file is missing, empty, or of no such kind.
    """

    def __init__(
        self,
        source: str,
        feature_size: int = 2048,
        num_classes: int = VISUAL_GENOME_CLASSES,
        field_order: FieldOrder = "auto",
    ) -> None:
        self._lines = LineFiles(source)
        self.name, self.total, self.unit = source, self._lines.total, LineFiles.unit
        columns = self._lines.usual_columns()
        if columns not in _LAYOUTS:
            raise SourceError(
                f"{source}: its lines have {columns} fields. Bottom-up attention's have 6 (7 with class "
                "probabilities), LXMERT's 10 (13 with class probabilities)."
            )
        self._names = _LAYOUTS[columns]
        self.feature_size = feature_size
        self.num_classes = num_classes if columns > len(_BOTTOM_UP) else None
        if columns <= 7 and field_order != "width,height":
            swapped = field_order == "height,width" or self._boxes_say_height_first()
            self._names = ("id", "height", "width", *self._names[3:]) if swapped else self._names

    def rows(self) -> Iterator[ForeignRow]:
        """Every record in the file's order."""
        for line in self._lines:
            try:
                first = line.cells()[0]
                if first.strip().lower() in _HEADERS:
                    continue
                name = text_of(first, "the image's id", line.where)
            except RegionError as error:
                yield unusable(line, str(error))
                continue
            yield ForeignRow(line.row, line.where, name, line.position, lambda line=line: self._read(line))  # type: ignore[misc]

    def _read(self, line: Line) -> ForeignRegions:
        cells = dict(zip(self._names, line.cells(len(self._names)), strict=True))
        where = line.where
        count = region_count(cells["num_boxes"], where)
        probabilities = None
        if "cls_prob" in cells:
            classes = self.num_classes
            probabilities = array_field(cells["cls_prob"], "<f4", count, classes, "class probabilities", where)
        elif "objects_id" in cells:
            ids = array_field(cells["objects_id"], "<i8", count, 0, "object ids", where)
            confidences = array_field(cells["objects_conf"], "<f4", count, 0, "object confidences", where)
            probabilities = spread(ids, confidences, self.num_classes or 0, where, background=True)
        return ForeignRegions(
            width=whole_number(cells["width"], "the width", where),
            height=whole_number(cells["height"], "the height", where),
            boxes=array_field(cells["boxes"], "<f4", count, 4, "boxes", where),
            features=array_field(cells["features"], "<f4", count, None, "features", where),
            class_probs=probabilities,
        )

    def _boxes_say_height_first(self) -> bool:
        votes = 0
        for line in self._lines:
            if line.row >= _SAMPLE:
                break
            try:
                cells = line.cells(len(self._names))
                first, second = (whole_number(cells[place], "a side", line.where) for place in (1, 2))
                count = region_count(cells[3], line.where)
                ends = array_field(cells[4], "<f4", count, 4, "boxes", line.where)[:, 2:]
            except RegionError:
                continue
            as_written = bool((ends <= np.array([first, second]) + 1).all())
            swapped = bool((ends <= np.array([second, first]) + 1).all())
            votes += int(as_written) - int(swapped)
        return votes < 0


def unusable(line: Line, problem: str, name: str = "") -> ForeignRow:
    """A row for the list of what could not be used."""

    def read() -> ForeignRegions:
        raise RegionError(problem)

    return ForeignRow(line.row, line.where, name, line.position, read)
