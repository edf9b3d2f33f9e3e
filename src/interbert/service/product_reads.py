"""A product of an index, and its images, as they are shown."""

from __future__ import annotations

from typing import Any

from interbert.search.index import ProductIndex
from interbert.service.errors import ServiceError
from interbert.service.schemas.common import json_safe
from interbert.service.service import ServedIndex


def product_body(served: ServedIndex, product_id: str) -> dict[str, Any]:
    """A product as it is sent.

    Raises:
        ServiceError: ``not_found``.
        VectorIndexError: the index is damaged.
    """
    index = _index(served)
    columns = index.manifest.columns
    rows = _rows(index, product_id, ["digest", "texts", *(column.field for column in columns)])
    return {
        "product_id": product_id,
        "texts": list(dict.fromkeys(text for row in rows for text in row["texts"])),
        "metadata": {column.name: json_safe(rows[0][column.field]) for column in columns},
        "images": [{"image_id": row["picture_id"], "digest": row["digest"]} for row in rows],
        "index": served.name,
    }


def image_digest(served: ServedIndex, product_id: str, image_id: str | None) -> tuple[str, str]:
    """Id and SHA-256 of an image of a product; of its first one when none is named.

    Raises:
        ServiceError: ``not_found``.
        VectorIndexError: the index is damaged.
    """
    rows = _rows(_index(served), product_id, ["digest"])
    found = next((row for row in rows if image_id in (None, row["picture_id"])), None)
    if found is None:
        raise ServiceError("not_found", "The product has no such image.", "image_id")
    return found["picture_id"], found["digest"]


def thumbnail(served: ServedIndex, image_id: str) -> bytes:
    """An image as JPEG.

    Raises:
        VectorIndexError: the index lacks it, or is damaged.
    """
    return _index(served).thumbnails([image_id])[0]


def _rows(index: ProductIndex, product_id: str, fields: list[str]) -> list[dict[str, Any]]:
    """Images of a product by id, of which the product's own comes first."""
    found: list[dict[str, Any]] = []
    if product_id:
        for table in index.by_ids([product_id], ["picture_id", *fields], "product_id"):
            found += table.to_pylist()
    if not found:
        raise ServiceError("not_found", "There is no such product in the index.", "product_id")
    return sorted(found, key=lambda row: (row["picture_id"] != product_id, row["picture_id"]))


def _index(served: ServedIndex) -> ProductIndex:
    index = served.engine.index
    assert isinstance(index, ProductIndex)
    index.refresh()
    return index
