"""Which column of a source holds the images, and which the texts."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from numbers import Integral, Real
from pathlib import Path
from typing import Any

from interbert.errors import ColumnError, listed
from interbert.extraction.images import IMAGE_SUFFIXES
from interbert.extraction.settings import BoxFormat
from interbert.extraction.several_images import images_of_cell

TEXT_NAMES = (
    "title",
    "caption",
    "captions",
    "text",
    "name",
    "productdisplayname",
    "description",
    "sentence",
    "query",
)
"""Names of columns of texts, the most telling first."""
PRODUCT_NAMES = ("product_id", "productid", "item_id", "itemid", "sku", "id")
"""Names of columns of ids that images of one product share."""
BUILT = frozenset({"group", "title_raw", "flags"})
"""Columns of a data set that ``interbert dataset build`` wrote."""
_IMAGE_NAMES = (
    *("image", "picture", "img", "photo", "file_name", "image_path", "path"),
    *("images", "pictures", "photos", "image_paths", "file_names"),
)


@dataclass(frozen=True)
class ColumnMapping:
    """Columns by name; None (or no texts) means: find them."""

    image: str | None = None
    texts: tuple[str, ...] = ()
    image_id: str | None = None
    product_id: str | None = None
    boxes: str | None = None
    """Boxes of each image; never found by itself."""
    box_format: BoxFormat = "xyxy"
    by_group: bool = False
    """Of a data set that ``interbert dataset build`` wrote, take groups of near-duplicates as products, to train on:
    what has one product is never each other's negative."""


def id_text(value: Any) -> str | None:
    """An id's cell as text, the same in every kind of source; None when there is no id in it.

    Texts stay as they are written. Whole numbers that a library made floats or decimals lose their fraction (101.0 is
    ``"101"``), as pandas does that to a column of whole numbers in which one is missing.

    Args:
        value: as a source gives it: text, number, None; None, NaN, NaT, infinity and blank texts are no ids.
    """
    if value is None or value != value:  # NaN, of any library, is not equal to itself
        return None
    if isinstance(value, Decimal | Real) and not isinstance(value, Integral):
        number: Any = value  # of whatever library: float, Decimal and numpy's floats all become int without loss
        if not math.isfinite(number):
            return None
        if number == int(number):
            return str(int(number))
    text = str(value)
    return text if text.strip() else None


def resolve_columns(
    mapping: ColumnMapping,
    columns: Sequence[str],
    first_rows: Mapping[str, Sequence[Any]],
    where: str,
    need_texts: bool,
) -> ColumnMapping:
    """Check named columns and find those not named.

    Args:
        mapping: what the user named.
        columns: what the source has.
        first_rows: a few values of each column.
        where: the source, for messages.
        need_texts: whether a source without a text column is an error.

    Raises:
        ColumnError: a named column is missing (with the nearest name that exists), or none fits.
    """
    for name in (mapping.image, mapping.image_id, mapping.product_id, mapping.boxes, *mapping.texts):
        if name is not None and name not in columns:
            raise ColumnError.missing(name, columns, where)
    image = mapping.image or find_image(columns, first_rows)
    if image is None:
        raise ColumnError(f"{where}: no column holds images. Name it with --image-column. Columns: {listed(columns)}.")
    texts = mapping.texts or find_texts(
        [name for name in columns if name not in (image, mapping.image_id, mapping.boxes)], first_rows
    )
    if need_texts and not texts:
        raise ColumnError(
            f"{where}: no column is clearly the text. Name one or more with --text-columns. Columns: {listed(columns)}."
        )
    lowered = {name.lower(): name for name in columns}
    names = ("group", *PRODUCT_NAMES) if mapping.by_group and set(columns) >= BUILT else PRODUCT_NAMES
    product = mapping.product_id or next((lowered[n] for n in names if n in lowered), None)
    return replace(mapping, image=image, texts=tuple(texts), product_id=product)


def find_image(columns: Sequence[str], rows: Mapping[str, Sequence[Any]]) -> str | None:
    """The column that holds images by a few values of each, None without one."""
    fitting = [name for name in columns if any(_is_image(value) for value in rows[name])]
    lowered = {name.lower(): name for name in fitting}
    return next((lowered[name] for name in _IMAGE_NAMES if name in lowered), fitting[0] if fitting else None)


def _is_image(value: Any) -> bool:
    several = images_of_cell(value)
    if several is not None:
        return any(_is_image(one) for one in several if not isinstance(one, list | tuple))
    if isinstance(value, Mapping):
        return any(value.get(name) is not None for name in ("bytes", "path", "problem"))
    if isinstance(value, str):
        return Path(value).suffix.lower() in IMAGE_SUFFIXES and "\n" not in value
    return isinstance(value, bytes)


def find_texts(columns: Sequence[str], rows: Mapping[str, Sequence[Any]]) -> tuple[str, ...]:
    """The columns that hold texts by their names and a few values of each; none where it is not clear."""
    texts = [name for name in columns if any(_is_text(value) for value in rows[name])]
    lowered = {name.lower(): name for name in texts}
    for wanted in TEXT_NAMES:
        if wanted in lowered:
            companions = [name for low, name in lowered.items() if re.fullmatch(rf"{wanted}_[a-z]{{2}}", low)]
            return (lowered[wanted], *companions)  # title, and title_zh beside it
    return tuple(texts) if len(texts) == 1 else ()


def _is_text(value: Any) -> bool:
    if isinstance(value, list | tuple):
        return any(isinstance(one, str) for one in value)
    return isinstance(value, str)
