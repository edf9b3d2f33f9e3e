"""Products written one by one: each succeeds or is refused by itself, with what was done to it.

Rows take effect in their order. What is written twice is as if it were written once. Hold the index
(:func:`interbert.utils.files.only_writer`) and call :func:`maintain` after the last change.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from interbert.errors import ColumnError
from interbert.extraction.columns import ColumnMapping
from interbert.extraction.sources import ImageSource
from interbert.search.columns import Column, arrow_type
from interbert.search.index import ProductIndex
from interbert.search.products import KnownRegions
from interbert.search.query_encoder import ProductEncoder
from interbert.search.row_values import column_values
from interbert.search.source_changes import update_differing, write_pending
from interbert.search.writer import IndexWriter

Status = Literal["added", "replaced", "updated", "unchanged", "removed", "rejected"]
Code = Literal["invalid", "bad_image", "not_found", "conflict", "internal"]

_COLUMNS = ColumnMapping("image", ("texts",), "image_id", "product_id")
"""Of rows in memory."""
_IMAGES_AT_ONCE = 8
"""Images that are encoded in one go: searches wait for no more."""


@dataclass(frozen=True)
class ProductRow:
    """What is to be written of a product."""

    product_id: str
    image_id: str | None = None
    """None: the product's only image or, without an image to write, all of its images."""
    image: bytes | None = None
    """The image's file; None: the product is there, and its images stay."""
    texts: tuple[str, ...] | None = None
    """None: they stay."""
    columns: Mapping[str, Any] = field(default_factory=dict)
    """Values by the names of the index's columns; the others stay."""


@dataclass(frozen=True)
class Outcome:
    """What was done to a row."""

    status: Status
    image_id: str | None = None
    code: Code | None = None
    reason: str = ""
    """Of a row that was rejected, a sentence."""


def write_rows(index: ProductIndex, encoder: ProductEncoder, rows: Sequence[ProductRow]) -> list[Outcome]:
    """Add products, or bring those that are there up to date; returns what was done to each.

    Args:
        index: the newest build, held by the caller.
        encoder: its model.
        rows: with the files of all their images in memory.

    Raises:
        StorageError: the disk is full or not writable; what was committed stays.
        BusyError: another build has taken the index's place.
        VectorIndexError: the index is damaged.
    """
    outcomes: dict[int, Outcome] = {}
    for places in _rounds(rows):
        done = _Round(index, encoder).write([rows[place] for place in places])
        outcomes |= dict(zip(places, done, strict=True))
    return [outcomes[place] for place in range(len(rows))]


def remove_products(index: ProductIndex, products: Sequence[tuple[str, str | None]]) -> list[Outcome]:
    """Remove products, or single images of them; returns what was done to each.

    Args:
        index: as in :func:`write_rows`.
        products: id of each, and of the image where not all of its images are meant.

    Raises:
        StorageError, BusyError, VectorIndexError: as :func:`write_rows`.
    """
    there = _images_of(index, [product for product, _ in products])
    removed: set[str] = set()
    outcomes = []
    for product, image in products:
        images = {name for name in there.get(product, []) if image in (None, name)} - removed
        removed |= images
        outcomes.append(Outcome("removed", image) if images else _not_found(product, image))
    if removed:
        IndexWriter(index).delete_ids(sorted(removed))
    return outcomes


def maintain(index: ProductIndex) -> None:
    """Bring the index's own indexes up to date (:meth:`~interbert.search.writer.IndexWriter.maintain`)."""
    IndexWriter(index).maintain()


def _rounds(rows: Sequence[ProductRow]) -> Iterator[list[int]]:
    """Places of rows in order, in groups none of which names an image twice: a later row sees what an earlier did."""
    places: list[int] = []
    images: set[str] = set()
    products: set[str] = set()
    whole: set[str] = set()
    for place, row in enumerate(rows):
        name = row.image_id or row.product_id
        again = row.product_id in (whole if row.image_id else products)
        if again or name in images:
            yield places
            places, images, products, whole = [], set(), set(), set()
        places.append(place)
        images.add(name)
        products.add(row.product_id)
        if not row.image_id:
            whole.add(row.product_id)
    if places:
        yield places


def _images_of(index: ProductIndex, products: Sequence[str]) -> dict[str, list[str]]:
    """Ids of the images of each product that the index has, sorted."""
    images: dict[str, list[str]] = {}
    for found in index.by_ids(products, ["picture_id", "product_id"], "product_id"):
        for one in found.to_pylist():
            images.setdefault(one["product_id"], []).append(one["picture_id"])
    return {product: sorted(names) for product, names in images.items()}


def _not_found(product: str, image: str | None) -> Outcome:
    reason = f"image {image!r} is none of product {product!r}" if image else "the product is not in the index"
    return Outcome("rejected", image, "not_found", f"{reason}.")


def _joined(first: Outcome, second: Outcome) -> Outcome:
    """What was done to a row of several images, none of which was encoded."""
    return Outcome("updated" if "updated" in (first.status, second.status) else "unchanged")


@dataclass(frozen=True)
class _Chosen:
    """A row and an image that it is written to."""

    place: int
    """Of the row."""
    image: str
    values: Mapping[str, Any]
    """By field."""


class _Round:
    """Rows that name no image twice, written in a few commits."""

    def __init__(self, index: ProductIndex, encoder: ProductEncoder) -> None:
        self._index = index
        self._encoder = encoder
        self._columns = {column.name: column for column in index.metadata_columns}

    def write(self, rows: Sequence[ProductRow]) -> list[Outcome]:
        """What was done to each row."""
        named = [row.image_id or row.product_id for row in rows]
        self._owners = {name: one["product_id"] for name, one in self._index.existing(named, ["product_id"]).items()}
        self._images = _images_of(self._index, [row.product_id for row in rows])
        outcomes: dict[int, Outcome] = {}
        chosen: list[_Chosen] = []
        for place, row in enumerate(rows):
            values, images = self._values(row), self._targets(row)
            if isinstance(values, Outcome):
                outcomes[place] = values
            elif isinstance(images, Outcome):
                outcomes[place] = images
            else:
                chosen += [_Chosen(place, image, values) for image in images]
        for one, done in zip(chosen, self._write(rows, chosen), strict=True):
            outcomes[one.place] = _joined(outcomes[one.place], done) if one.place in outcomes else done
        return [outcomes[place] for place in range(len(rows))]

    def _values(self, row: ProductRow) -> dict[str, Any] | Outcome:
        """Values by field, of the columns' kinds."""
        try:
            for name in row.columns:
                if name not in self._columns:
                    raise ColumnError.missing(name, self._columns, "the product")
        except ColumnError as error:
            return Outcome("rejected", row.image_id, "invalid", str(error))
        found = column_values(self._columns, row.columns)
        return Outcome("rejected", row.image_id, "invalid", found) if isinstance(found, str) else found

    def _targets(self, row: ProductRow) -> list[str] | Outcome:
        """Images that a row is written to."""
        images = self._images.get(row.product_id, [])
        if row.image is None:
            if row.image_id is not None:
                return [row.image_id] if row.image_id in images else _not_found(row.product_id, row.image_id)
            if not images:
                reason = "the product is not in the index. Send its image, too, to add it."
                return Outcome("rejected", None, "not_found", reason)
            return images
        name = row.image_id or (images[0] if len(images) == 1 else row.product_id)
        if row.image_id is None and len(images) > 1 and name not in images:
            few = ", ".join(images[:3])
            reason = f"the product has {len(images)} images ({few} ...). Say by image_id which one is to be replaced."
            return Outcome("rejected", None, "conflict", reason)
        owner = self._owners.get(name, row.product_id)
        if owner != row.product_id:
            reason = f"image id {name!r} is one of product {owner!r}. Give the image an id of its own: image_id."
            return Outcome("rejected", name, "conflict", reason)
        return [name]

    def _write(self, rows: Sequence[ProductRow], chosen: Sequence[_Chosen]) -> list[Outcome]:
        """What was done to each image."""
        if not chosen:
            return []
        given = [column for column in self._columns.values() if any(column.field in one.values for one in chosen)]
        fields = [column.field for column in given]
        images = [one.image for one in chosen]
        there = self._index.existing(images, ["texts", *fields])
        metadata = {column.field: _array(column, chosen, there) for column in given}
        writer = IndexWriter(self._index)
        source = _source(rows, chosen, there)
        compared = update_differing(writer, source, metadata, images_needed=False)
        regions = KnownRegions(self._encoder, mirrored=self._index.manifest.mirrored)
        _, skipped = write_pending(
            writer, self._encoder, source, metadata, compared, regions, images_at_once=_IMAGES_AT_ONCE
        )
        status: dict[str, Status] = dict.fromkeys(images, "unchanged")
        status |= dict.fromkeys((images[row] for row in compared.updated), "updated")
        status |= {images[row]: "replaced" if images[row] in there else "added" for row in compared.pending}
        problems = {name: reason.partition(": ")[2] or reason for name, reason in skipped}
        return [
            Outcome("rejected", name, "bad_image", problems[name]) if name in problems else Outcome(status[name], name)
            for name in images
        ]


def _array(column: Column, chosen: Sequence[_Chosen], there: Mapping[str, Mapping[str, Any]]) -> Any:
    """A column's values, as they are where they are not given; of whole numbers float64 where one has a fraction."""
    import pyarrow as pa

    name = column.field
    values = [one.values[name] if name in one.values else there.get(one.image, {}).get(name) for one in chosen]
    fraction = column.kind == "integer" and any(isinstance(value, float) for value in values)
    return pa.array(values, pa.float64() if fraction else arrow_type(column.kind))


def _source(
    rows: Sequence[ProductRow],
    chosen: Sequence[_Chosen],
    there: Mapping[str, Mapping[str, Any]],
) -> ImageSource:
    """Images with ids and texts, in memory."""
    import datasets
    import pyarrow as pa

    texts: list[list[str]] = []
    for one in chosen:
        given = rows[one.place].texts
        texts.append(list(there.get(one.image, {}).get("texts", []) if given is None else given))
    columns = {
        "image": pa.array([rows[one.place].image for one in chosen], pa.large_binary()),
        "image_id": pa.array([one.image for one in chosen], pa.string()),
        "product_id": pa.array([rows[one.place].product_id for one in chosen], pa.string()),
        "texts": pa.array(texts, pa.list_(pa.string())),
    }
    table = datasets.Dataset(datasets.table.InMemoryTable(pa.table(columns)), fingerprint="rows in memory")
    return ImageSource("the product", table, _COLUMNS, None)
