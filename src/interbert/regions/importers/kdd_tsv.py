"""KDD Cup 2020, Multimodalities Recall: queries of Taobao's shoppers and the regions of product photos.

Tab-separated with a header: ``product_id, image_h, image_w, num_boxes, boxes, features, class_labels, query,
query_id``; arrays are base64 (boxes and features float32, labels int64). A line is a pair, so a product stands in
several lines: it becomes one image with all its queries as texts. In the validation and test files a line is only a
candidate; queries become texts there for the products that the answer file names.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from interbert.errors import RegionError
from interbert.regions.importers.arrays import spread
from interbert.regions.importers.detector_tsv import Line, LineFiles, unusable
from interbert.regions.importers.fields import array_field, region_count, text_of, whole_number
from interbert.regions.importers.kdd_files import (
    KDD_COLUMNS,
    is_header,
    open_lines,
    read_answers,
    read_labels,
    read_names,
)
from interbert.regions.importers.rows import ForeignRegions, ForeignRow, ForeignSource

BoxOrder = Literal["top,left,bottom,right", "left,top,right,bottom"]
KDD_CLASSES = 33


class KddTsv(ForeignSource):
    """A file of pairs or candidates.

    Args:
        source: file, or a pattern of several.
        feature_size: floats of a region.
        num_classes: class labels; those of ``labels``, else 33, when not given.
        box_order: of a box's four numbers.
        answers: ``valid_answer.json``; without it every line is a true pair.
        labels: ``multimodal_labels.txt``.

    Raises:
        SourceError: a file is missing or of another kind.
    """

    text_field = "query"
    repeats_are_one = True

    def __init__(
        self,
        source: str,
        feature_size: int = 2048,
        num_classes: int | None = None,
        box_order: BoxOrder = "top,left,bottom,right",
        answers: str | None = None,
        labels: str | None = None,
    ) -> None:
        self._lines = open_lines(source)
        self.name, self.total, self.unit = source, self._lines.total, LineFiles.unit
        named = KDD_CLASSES if labels is None else max(read_labels(labels)) + 1
        self.feature_size, self.num_classes = feature_size, named if num_classes is None else num_classes
        self._order = [1, 0, 3, 2] if box_order == "top,left,bottom,right" else [0, 1, 2, 3]
        self._queries: sqlite3.Connection | None = None
        self._answers = None if answers is None else _answers(Path(answers))

    def rows(self) -> Iterator[ForeignRow]:
        """Every record in the file's order."""
        for line in self._lines:
            try:
                first = line.cells()[0]
                if is_header(first):
                    continue
                name = text_of(first, "the product's id", line.where)
            except RegionError as error:
                yield unusable(line, str(error))
                continue
            yield ForeignRow(line.row, line.where, name, line.position, lambda line=line: self._read(line))  # type: ignore[misc]

    def texts_of(self, image_id: str) -> tuple[str, ...]:
        """Queries of all the product's lines; the file is read once before, for its last two columns only."""
        if self._queries is None:
            self._queries = sqlite3.connect("")
            self._queries.execute("CREATE TABLE queries (product TEXT, query TEXT)")
            self._queries.executemany("INSERT INTO queries VALUES (?, ?)", self._pairs())
            self._queries.execute("CREATE INDEX by_product ON queries (product)")
        found = self._queries.execute("SELECT query FROM queries WHERE product = ? ORDER BY rowid", (image_id,))
        return tuple(dict.fromkeys(query for (query,) in found))

    def _pairs(self) -> Iterator[tuple[str, str]]:
        for line in self._lines:
            try:
                names = read_names(line)
            except RegionError:
                continue  # its own row says so
            if names is not None:
                product, query, number = names
                if self._answers is None or (number, product) in self._answers:
                    yield product, query

    def _read(self, line: Line) -> ForeignRegions:
        cells, where = line.cells(KDD_COLUMNS), line.where
        text_of(cells[7], "the query", where)
        text_of(cells[8], "the query's id", where)
        count = region_count(cells[3], where)
        labels = array_field(cells[6], "<i8", count, 0, "class labels", where)
        return ForeignRegions(
            width=whole_number(cells[2], "the width", where),
            height=whole_number(cells[1], "the height", where),
            boxes=array_field(cells[4], "<f4", count, 4, "boxes", where)[:, self._order],
            features=array_field(cells[5], "<f4", count, None, "features", where),
            class_probs=spread(labels, None, self.num_classes or 0, where, background=False),
        )


def _answers(file: Path) -> set[tuple[str, str]]:
    return {(query, product) for query, products in read_answers(file).items() for product in products}
