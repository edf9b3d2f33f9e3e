"""The tab-separated files of bottom-up attention and of LXMERT: one image a line, arrays as base64 of float32.

Bottom-up attention (its ``generate_tsv.py``): ``image_id, image_w, image_h, num_boxes, boxes, features`` and, from
ViLBERT's copy of it, ``cls_prob``; older files have height before width. LXMERT: ``img_id, img_h, img_w, objects_id,
objects_conf, attrs_id, attrs_conf, num_boxes, boxes, features`` and, from VOLTA's copy, ``cls_prob, attrs, classes``.
Ids are int64. Attributes are not stored: the model has no place for them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Literal

import numpy as np

from interbert.errors import RegionError, SourceError
from interbert.regions.importers.distributions import VISUAL_GENOME_CLASSES, spread
from interbert.regions.importers.fields import array_field, region_count, text_of, whole_number
from interbert.regions.importers.lines import Line, LineFiles
from interbert.regions.importers.rows import ForeignRegions, ForeignRow, ForeignSource

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
