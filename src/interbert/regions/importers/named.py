"""Records whose fields have names: pickled dictionaries, HDF5 groups, .npz files. Every tool names them its own way."""

from __future__ import annotations

from abc import abstractmethod
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping
from itertools import islice
from typing import Any

import numpy as np
from numpy.typing import NDArray

from interbert.errors import RegionError, SourceError
from interbert.regions.importers.arrays import (
    BOX_COLUMNS,
    VISUAL_GENOME_CLASSES,
    columns_of,
    flat,
    matrix,
    spread,
    upright,
)
from interbert.regions.importers.fields import array_field, region_count, text_of, whole_number
from interbert.regions.importers.rows import MAX_REGIONS, ForeignRegions, ForeignRow, ForeignSource
from interbert.regions.importers.sizes import SizeIndex

Fields = Mapping[str, Any]

NAMES = {
    "id": ("image_id", "img_id"),
    "row ids": (
        *("image_id", "img_id", "image_ids", "img_ids", "ids", "id", "image_name", "image_names"),
        *("file_name", "file_names", "filename", "filenames", "keys", "names"),
    ),
    "caption": ("caption", "captions"),
    "features": ("features", "feature", "feat", "x", "image_features"),
    "boxes": ("boxes", "bbox", "bboxes", "bb", "image_bb"),
    "relative boxes": ("norm_bb", "normalized_boxes"),
    "width": ("img_w", "image_w", "image_width", "width"),
    "height": ("img_h", "image_h", "image_height", "height"),
    "number of boxes": ("num_boxes", "num_bbox"),
    "class probabilities": ("cls_prob", "soft_labels", "class_probs"),
    "object ids": ("obj_id", "objects_id", "objects", "object_ids"),
    "object confidences": ("obj_conf", "objects_conf", "object_conf"),
}
"""What a field may be called; ``row ids`` are those of arrays with a row per image."""
_SAMPLE = 20
_MAX_TEXTS = 1000
_MAX_TEXT = 10_000
"""Characters, as in caption files."""


def field_of(record: Fields, what: str) -> Any:
    """The value of a field under any of its names, None when it has none of them."""
    return next((record[name] for name in NAMES[what] if record.get(name) is not None), None)


def id_of(record: Fields, where: str, what: str = "id") -> str:
    """The id that a record has under one of its names (``id`` or ``row ids``).

    Raises:
        RegionError: it has none; the message names what was looked for.
    """
    value = field_of(record, what)
    if value is None:
        raise RegionError(f"{where}: has no image's id (a field called {' or '.join(NAMES[what])}).")
    return text_of(value, "the image's id", where)


class NamedSource(ForeignSource):
    """A file of named records. A subclass calls :meth:`settle` once it can give records.

    Args of ``settle``:
        feature_size: floats of a region; None takes what most of the first 20 records have.
        num_classes: classes with background, where records have a class per region; None takes the same.
        sizes: images' sizes, where records have none.
    """

    sizes: SizeIndex | None = None
    _turned = False
    """Whether features are [F, regions], where a record alone does not tell."""

    @abstractmethod
    def records(self) -> Iterator[tuple[ForeignRow | None, str, str, Callable[[], Fields]]]:
        """Every record: a finished row for what has no fields, or None, where it is, its id, and its fields."""

    def settle(self, feature_size: int | None, num_classes: int | None, sizes: SizeIndex | None) -> None:
        """Decide what a region has.

        Raises:
            SourceError: none of the first records can be read.
        """
        self.sizes = sizes
        kinds: Counter[tuple[int, bool, int | None]] = Counter()
        problem = "it holds no records"
        for finished, where, _, fields in islice(self.records(), _SAMPLE):
            if finished is not None:
                continue
            try:
                record = fields()
                count = _count(record, where)
                columns, turned = _columns(record, "features", count, feature_size, where)
                kinds[columns, turned, _classes(record, count, num_classes, where)] += 1
            except RegionError as error:
                problem = str(error)
        if not kinds and feature_size is None:
            raise SourceError(f"{self.name}: none of its first records can be read ({problem}).")
        usual = kinds.most_common(1)[0][0] if kinds else (0, False, num_classes)
        self.feature_size = feature_size or usual[0]
        self._turned, self.num_classes = usual[1:]

    def rows(self) -> Iterator[ForeignRow]:
        """Every record in the file's order."""
        for number, (finished, where, name, fields) in enumerate(self.records()):
            if finished is not None:
                yield finished
                continue

            def read(where: str = where, name: str = name, fields: Callable[[], Fields] = fields) -> ForeignRegions:
                return self.regions(fields(), where, name)

            yield ForeignRow(number, where, name, number + 1, read)

    def regions(self, record: Fields, where: str, name: str) -> ForeignRegions:
        """One record's regions.

        Raises:
            RegionError: a field is missing or wrong.
        """
        count = _count(record, where)
        width, height = self._size(record, where, name)
        rows = {count, *_box_rows(record)}
        boxes = field_of(record, "boxes")
        if boxes is not None:
            boxes = _rows(boxes, count, BOX_COLUMNS, "boxes", where, rows)[:, :4]
        else:
            relative = _rows(field_of(record, "relative boxes"), count, BOX_COLUMNS, "boxes", where, rows)[:, :4]
            boxes = relative * np.array([width, height, width, height], dtype=np.float32)
        return ForeignRegions(
            width=width,
            height=height,
            boxes=boxes,
            features=_rows(
                field_of(record, "features"), count, (self.feature_size,), "features", where, rows, self._turned
            ),
            class_probs=self._probabilities(record, count, where, rows),
            texts=texts_of(field_of(record, "caption"), where),
        )

    def _size(self, record: Fields, where: str, name: str) -> tuple[int, int]:
        found = field_of(record, "width"), field_of(record, "height")
        if found[0] is None or found[1] is None:
            known = self.sizes.find(name) if self.sizes is not None else None
            if known is None:
                why = "" if self.sizes is None else f" ({self.sizes.problem(name)})"
                raise RegionError(f"{where}: has no image size{why}. Give a file of sizes with --sizes.")
            return known
        return whole_number(found[0], "the width", where), whole_number(found[1], "the height", where)

    def _probabilities(self, record: Fields, count: int, where: str, rows: Collection[int]) -> NDArray[Any] | None:
        if self.num_classes is None:
            return None
        values = field_of(record, "class probabilities")
        if values is not None:
            return _rows(values, count, (self.num_classes,), "class probabilities", where, rows)
        ids, confidences = field_of(record, "object ids"), field_of(record, "object confidences")
        if ids is None:
            raise RegionError(f"{where}: has neither class probabilities nor object ids.")
        ids = _flat(ids, "<i8", count, "object ids", where)
        if confidences is not None:
            confidences = _flat(confidences, "<f4", count, "object confidences", where)
        return spread(ids, confidences, self.num_classes, where, background=True)


def texts_of(value: Any, where: str) -> tuple[str, ...]:
    """Captions in a record: a text, or a list of them.

    Raises:
        RegionError: more than 1,000, or one of more than 10,000 characters.
    """
    values = value if isinstance(value, list | tuple) else [value]
    longest = max((len(one) for one in values if isinstance(one, str | bytes)), default=0)
    if len(values) > _MAX_TEXTS or longest > _MAX_TEXT:
        raise RegionError(
            f"{where}: has {len(values):,} captions, the longest of {longest:,} characters; at most {_MAX_TEXTS:,} of "
            f"{_MAX_TEXT:,} are read."
        )
    texts = [one.decode("utf-8", "replace") if isinstance(one, bytes) else one for one in values]
    clean = (" ".join(one.encode("utf-8", "replace").decode().split()) for one in texts if isinstance(one, str))
    return tuple(dict.fromkeys(one for one in clean if one))


def _count(record: Fields, where: str) -> int:
    """How many regions there are: as the record says, or as its boxes or features show."""
    given = field_of(record, "number of boxes")
    if given is not None:
        return region_count(given, where)
    features = field_of(record, "features")
    sides = features.shape if isinstance(features, np.ndarray) and features.ndim == 2 else ()
    from_boxes = _box_rows(record)
    found = next((rows for rows in from_boxes if rows in sides), from_boxes[0] if from_boxes else None)
    if found is None and sides:
        found = sides[0]
    if found is None:
        raise RegionError(f"{where}: has no number of boxes.")
    return region_count(found, where)


def _box_rows(record: Fields) -> list[int]:
    """How many rows its array of boxes may have, the likeliest first; none when it has no such array."""
    for what in ("boxes", "relative boxes"):
        boxes = field_of(record, what)
        if isinstance(boxes, np.ndarray) and boxes.ndim == 2:
            first, second = boxes.shape
            ways = (
                [(first, second), (second, first)] if second == 4 or first != 4 else [(second, first), (first, second)]
            )
            return [rows for rows, columns in ways if columns in BOX_COLUMNS]
    return []


def _columns(record: Fields, what: str, count: int, known: int | None, where: str) -> tuple[int, bool]:
    """F of a field, and whether it is stored as [F, regions].

    Raises:
        RegionError: there is no such field, or what is known leaves open which of its sides counts regions.
    """
    value = field_of(record, what)
    if not isinstance(value, np.ndarray):
        return _decoded(value, count, what, where).shape[1], False
    value = _one_region(value, count, what, where)
    rows = {count, *_box_rows(record)}
    found = columns_of(value, rows)
    if found is not None:
        return found
    first, second = value.shape
    if first == second or known == second:
        return second, False
    if known == first:
        return first, True
    if known is None and second < count <= first <= MAX_REGIONS:  # padded; the other side is too short for the regions
        return second, False
    remedy = "floats of a region with --feature-size" if what == "features" else "number of classes with --num-classes"
    raise RegionError(
        f"{where}: {what} have the shape {list(value.shape)}; there are {count} regions, so that either side could "
        f"count them. Give the {remedy}."
    )


def _classes(record: Fields, count: int, num_classes: int | None, where: str) -> int | None:
    if field_of(record, "class probabilities") is not None:
        return _columns(record, "class probabilities", count, num_classes, where)[0]
    return (num_classes or VISUAL_GENOME_CLASSES) if field_of(record, "object ids") is not None else None


def _rows(
    value: Any,
    count: int,
    columns: Collection[int],
    name: str,
    where: str,
    rows: Collection[int],
    turned: bool = False,
) -> NDArray[Any]:
    """[count, columns] of an array, whichever way it lies and perhaps with padding, or of base64."""
    if isinstance(value, np.ndarray):
        return upright(_one_region(value, count, name, where), count, columns, name, where, rows, turned)
    return upright(_decoded(value, count, name, where), count, columns, name, where)


def _one_region(value: NDArray[Any], count: int, name: str, where: str) -> NDArray[Any]:
    return matrix(value[None] if value.ndim == 1 and count == 1 else value, name, where)


def _decoded(value: Any, count: int, name: str, where: str) -> NDArray[Any]:
    """[count, columns] of base64, which has no shape of its own."""
    if value is None:
        known = next((names for what, names in NAMES.items() if what == name), (name,))
        raise RegionError(f"{where}: has no {name} (a field called {' or '.join(known)}).")
    if isinstance(value, list):
        raise RegionError(f"{where}: {name} is a list, not an array or base64.")
    return array_field(value, "<f4", count, None, name, where)


def _flat(value: Any, dtype: str, count: int, name: str, where: str) -> NDArray[Any]:
    if isinstance(value, np.ndarray):
        return flat(value, count, name, where)
    return array_field(value, dtype, count, 0, name, where)
