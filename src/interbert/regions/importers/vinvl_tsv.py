"""VinVL and Oscar: ``features.tsv``, and the boxes, classes and sizes in files beside it.

A line of features is ``id<TAB>{"num_boxes": N, "features": base64}`` or ``id<TAB>N<TAB>base64``, float32 [N, 2054]:
2,048 features and the box as x1/w, y1/h, x2/w, y2/h, width/w, height/h. The last six are taken off: the model has its
own locations. ``--objects`` names ``predictions.tsv`` or ``*.label.tsv`` (``id<TAB>JSON`` with ``objects`` of ``rect``,
``class``, ``conf``, and ``image_h``, ``image_w``), in the order of the features. A ``predictions.tsv`` whose objects
hold a ``feature`` each is a source by itself.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from interbert.errors import RegionError, SourceError
from interbert.regions.importers.arrays import spread
from interbert.regions.importers.detector_tsv import Line, LineFiles, unusable
from interbert.regions.importers.fields import (
    MAX_RECORD,
    array_field,
    array_from,
    from_base64,
    json_from,
    region_count,
    small_text,
    text_of,
    whole_number,
)
from interbert.regions.importers.rows import MAX_REGIONS, ForeignRegions, ForeignRow, ForeignSource, Offsets
from interbert.regions.importers.sizes import SizeIndex
from interbert.utils.bounded_files import json_value

_LOCATION = 6
Objects = Mapping[str, Any]


class VinvlTsv(ForeignSource):
    """Features, with what stands beside them.

    Args:
        source: ``features.tsv``, or a pattern of several.
        feature_size: floats of a region, without the six of its box.
        objects: ``predictions.tsv`` or ``*.label.tsv``.
        labels: JSON with ``label_to_idx``, or a text file with a class per line; class 0 is background. Without it
            classes are names without numbers, and are not stored.
        sizes: images' sizes (``*.hw.tsv``), where the objects have none.

    Raises:
        SourceError: a file is missing, empty, or of another kind.
    """

    def __init__(
        self,
        source: str,
        feature_size: int = 2048,
        objects: str | None = None,
        labels: str | None = None,
        sizes: SizeIndex | None = None,
    ) -> None:
        self._lines = LineFiles(source)
        self.name, self.total, self.unit = source, self._lines.total, LineFiles.unit
        columns = self._lines.usual_columns()
        if columns not in (2, 3):
            raise SourceError(f"{source}: its lines have {columns} fields, VinVL's have 2 or 3.")
        self.feature_size = feature_size
        self._sizes = sizes
        self._objects = None if objects is None else _ObjectFile(objects)
        self._labels = None if labels is None else _labels(Path(labels).expanduser())
        self.num_classes = None if self._labels is None else max(self._labels.values()) + 1

    def rows(self) -> Iterator[ForeignRow]:
        """Every record in the file's order."""
        for line in self._lines:
            try:
                name = text_of(line.cells()[0], "the image's id", line.where)
            except RegionError as error:
                yield unusable(line, str(error))
                continue
            yield ForeignRow(
                line.row,
                line.where,
                name,
                line.position,
                lambda line=line, name=name: self._read(line, name),  # type: ignore[misc]
            )

    def _read(self, line: Line, name: str) -> ForeignRegions:
        cells, where = line.cells(), line.where
        own = _json_of(cells[1], where) if len(cells) == 2 else {}
        left = MAX_RECORD - len(line.content or b"")
        beside = self._objects.find(name, where, left) if self._objects is not None else {}
        width, height = self._size({**own, **beside}, where, name)
        listed = _list_of(beside.get("objects"), where) or _list_of(own.get("objects"), where)
        features, relative = self._features(own, cells, listed, where)
        if listed and len(listed) != len(features):
            raise RegionError(f"{where}: has {len(features)} features and {len(listed)} objects.")
        if listed:
            boxes = _boxes([one.get("rect") for one in listed], where)
        elif relative is not None:
            boxes = relative * np.array([width, height, width, height], dtype=np.float32)
        else:
            raise RegionError(f"{where}: has no boxes. Name the file of objects with --objects.")
        return ForeignRegions(width, height, boxes, features, self._probabilities(listed, where))

    def _features(
        self, own: Objects, cells: list[bytes], listed: list[Objects], where: str
    ) -> tuple[NDArray[Any], NDArray[Any] | None]:
        """[N,F], and [N,4] relative boxes where the vectors end with them."""
        if len(cells) == 3:
            count, encoded = region_count(cells[1], where), cells[2]
        elif own.get("features") is not None:
            count, encoded = region_count(own.get("num_boxes"), where), own["features"]
        elif listed:
            single = [array_field(one.get("feature"), "<f4", 1, None, "a feature", where) for one in listed]
            if len({one.shape for one in single}) != 1:
                raise RegionError(f"{where}: its objects' features have different sizes.")
            return self._split(np.concatenate(single))
        else:
            raise RegionError(f"{where}: has no features.")
        raw = from_base64(encoded, "features", where)
        return self._split(array_from(raw, "<f4", count, None, "features", where))

    def _split(self, vectors: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any] | None]:
        if vectors.shape[1] == self.feature_size + _LOCATION:
            return vectors[:, : self.feature_size], vectors[:, self.feature_size : self.feature_size + 4]
        return vectors, None

    def _size(self, fields: Objects, where: str, name: str) -> tuple[int, int]:
        width, height = fields.get("image_w"), fields.get("image_h")
        if width is not None and height is not None:
            return whole_number(width, "the width", where), whole_number(height, "the height", where)
        known = None if self._sizes is None else self._sizes.find(name)
        if known is None:
            why = "" if self._sizes is None else f" ({self._sizes.problem(name)})"
            raise RegionError(
                f"{where}: has no image size{why}. Name a file of objects with --objects, or of sizes (--sizes)."
            )
        return known

    def _probabilities(self, listed: list[Objects], where: str) -> NDArray[Any] | None:
        if self._labels is None:
            return None
        if not listed:
            raise RegionError(f"{where}: has no classes. Name the file of objects with --objects.")
        names = [one.get("class") for one in listed]
        unknown = next((name for name in names if not isinstance(name, str) or name not in self._labels), None)
        if unknown is not None or None in names:
            raise RegionError(f"{where}: class {str(unknown)[:60]!r} is not among the labels.")
        ids = np.array([self._labels[str(name)] for name in names])
        try:
            confidences = np.array([float(one.get("conf", "nan")) for one in listed], dtype=np.float32)
        except (TypeError, ValueError, OverflowError) as error:
            raise RegionError(f"{where}: an object's conf is no number.") from error
        return spread(ids, confidences, self.num_classes or 0, where, background=False)


class _ObjectFile:
    """Objects by image id; the file stays on disk."""

    def __init__(self, path: str) -> None:
        lines = LineFiles(path)
        if len(lines.files) != 1:
            raise SourceError(f"{path}: name one file of objects, not {len(lines.files)}.")
        self._stream = lines.files[0].open("rb")
        entries = ((line.content.split(b"\t", 1)[0].strip(), line.offset) for line in lines if line.content is not None)
        self._offsets = Offsets((name.decode("utf-8", "replace"), offset) for name, offset in entries)
        self._path = path

    def find(self, name: str, where: str, limit: int) -> Objects:
        """Of an image.

        Raises:
            RegionError: it has none, or they have more than ``limit`` bytes: what its line of features leaves.
        """
        offset = self._offsets.find(name)
        if offset is None:
            raise RegionError(f"{where}: {name!r} has no objects in {self._path}.")
        self._stream.seek(offset)
        line = self._stream.readline(limit + 2)
        if len(line) > limit:
            raise RegionError(f"{where}: with its objects in {self._path} it is longer than {MAX_RECORD:,} bytes.")
        cells = line.rstrip(b"\r\n").split(b"\t", 2)
        return _json_of(cells[1] if len(cells) > 1 else b"", f"{self._path}, {name}")


def _json_of(cell: bytes, where: str) -> Objects:
    value = json_from(cell, where)
    if isinstance(value, list):
        return {"objects": value}
    if not isinstance(value, dict):
        raise RegionError(f"{where}: holds a {type(value).__name__}, not objects.")
    return value


def _list_of(value: Any, where: str) -> list[Objects]:
    if value is None:
        return []
    if not isinstance(value, list) or len(value) > MAX_REGIONS or not all(isinstance(one, dict) for one in value):
        raise RegionError(f"{where}: its objects are no list of at most {MAX_REGIONS} objects.")
    return value


def _boxes(rects: list[Any], where: str) -> NDArray[np.float32]:
    try:
        boxes = np.array(rects, dtype=np.float32)
    except (TypeError, ValueError, OverflowError) as error:
        raise RegionError(f"{where}: a rect is not four numbers.") from error
    if boxes.shape != (len(rects), 4):
        raise RegionError(f"{where}: a rect is not four numbers.")
    return boxes


def _labels(file: Path) -> dict[str, int]:
    try:
        text = small_text(file)
        if file.suffix.lower() == ".json":
            found = json_value(text)
            found = found.get("label_to_idx", found)
            labels = {str(name): int(number) for name, number in found.items()}
        else:
            labels = {line.strip(): place for place, line in enumerate(text.splitlines(), 1) if line.strip()}
    except SourceError:
        raise
    except FileNotFoundError as error:
        raise SourceError(f"{file}: there is no such file of labels.") from error
    except (OSError, ValueError, AttributeError, TypeError) as error:
        raise SourceError(f"{file}: is neither JSON with label_to_idx nor a class per line.") from error
    if not labels or min(labels.values()) < 0 or max(labels.values()) > 100_000:
        raise SourceError(f"{file}: its class numbers are not between 0 and 100,000.")
    return labels
