"""Several images in one cell of a table: which they are, and a row for each.

A product with several images is that many images of one product: each is described, learnt from and searched by
itself, they share the product's id and texts, and none is ever another's negative.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from interbert.extraction.image_cells import image_file
from interbert.extraction.image_tsv import ArchiveRows
from interbert.extraction.images import IMAGE_SUFFIXES
from interbert.extraction.table_limits import MAX_CELL

MAX_IMAGES = 100
"""Images of one cell."""
_SEPARATORS = ("\n", ";", "|", ",")
_BATCH = 1000


@dataclass(frozen=True)
class Member:
    """Which of a cell's images a row of a source is."""

    row: int
    """Of the table."""
    place: int | None = None
    """Among the cell's images, from 0; None: the cell holds one image, or nothing that can be used."""
    among: int = 1
    """Images of the cell."""


def images_of_cell(value: Any) -> list[Any] | None:
    """The images of a cell that holds a list of them; None where it holds one image, or none.

    Lists are those of the file's format, JSON lists (``["a.jpg", "b.jpg"]``), and names of image files between
    semicolons, vertical bars, commas or line breaks, where every part ends as such a name does.
    """
    if isinstance(value, list | tuple):
        return list(value)
    if not isinstance(value, str) or len(value) > MAX_CELL:
        return None
    text = value.strip()
    if text.startswith("[") and text.endswith("]"):
        try:
            found = json.loads(text)
        except (ValueError, RecursionError):
            return None
        return found if isinstance(found, list) else None
    for separator in _SEPARATORS:
        parts = [part.strip() for part in text.split(separator)]
        named = [part for part in parts if part]
        if len(parts) > 1 and named and all(Path(part).suffix.lower() in IMAGE_SUFFIXES for part in named):
            return named
    return None


def list_members(rows: Any, column: str, folder: Path | None, name: str) -> list[Member] | None:
    """The images of all cells of a column, in order; None where each row has one at most.

    Args:
        rows: of a source.
        column: that holds its images.
        folder: what paths are relative to, as :func:`~interbert.extraction.image_cells.image_file` takes it.
        name: the source's name.
    """
    if isinstance(rows, ArchiveRows) or not _may_hold_several(rows, column):
        return None
    members: list[Member] = []
    several = False
    for row, count in enumerate(_counts(rows, column, folder, name)):
        several |= count is not None
        if count is None or not 0 < count <= MAX_IMAGES:
            members.append(Member(row))
        else:
            members += [Member(row, place, count) for place in range(count)]
    return members if several else None


def member_of(value: Any, member: Member) -> Any:
    """What one row of a source has of a cell: one of its images, or a dict with the ``problem``."""
    if member.place is not None:
        return (images_of_cell(value) or [])[member.place]
    found = images_of_cell(value)
    if found is not None and len(found) > MAX_IMAGES:
        return {"problem": f"has {len(found):,} images in one cell; at most {MAX_IMAGES} are read. Leave some out"}
    return value if found is None or (isinstance(value, str) and found) else None


def numbered(products: Sequence[str]) -> list[str]:
    """An id an image, none twice; empty where the product's is: ``7``, ``7#2``, ``7#3`` of the product 7."""
    taken, last = set(products), Counter[str]()
    ids = []
    for product in products:
        name = product
        last[product] += 1
        while product and last[product] > 1 and (name := f"{product}#{last[product]}") in taken:
            last[product] += 1
        ids.append(name)
    return ids


def _may_hold_several(rows: Any, column: str) -> bool:
    """Whether a column's type allows for it: neither bytes of one image, nor Hub images."""
    import datasets

    feature = (getattr(rows, "features", None) or {}).get(column)
    if isinstance(feature, datasets.Value):
        return feature.dtype in ("string", "large_string")
    return feature is not None and not isinstance(feature, datasets.Image | dict)


def _counts(rows: Any, column: str, folder: Path | None, name: str) -> Iterator[int | None]:
    """Images of each cell; None for a cell that holds no list of them."""
    import datasets
    import pyarrow.compute as pc

    light = rows.select_columns([column])
    if isinstance(rows.features[column], datasets.List | datasets.LargeList):
        for batch in light.with_format("arrow").iter(_BATCH):  # lengths alone: their images are not read
            yield from pc.fill_null(pc.list_value_length(batch[column]), 0).to_pylist()
        return
    for value in light[column]:
        found = images_of_cell(value)
        alone = isinstance(value, str) and found is not None and _is_one_file(value, folder, name)
        yield None if found is None or alone else len(found)


def _is_one_file(value: str, folder: Path | None, name: str) -> bool:
    """Whether a file has the whole text as its name."""
    return folder is not None and isinstance(image_file(value, folder, name)[0], Path)
