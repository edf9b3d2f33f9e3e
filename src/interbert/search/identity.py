"""Ids under which an index knows images: they must mean the same in every source that is ever added."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from interbert.errors import SourceError
from interbert.extraction.columns import id_text
from interbert.extraction.sources import ImageSource
from interbert.search.index import ProductIndex

Problems = list[tuple[str, str]]
"""(image id, or row when it has none, and reason) of what could not be used."""


def identified(source: ImageSource, lasting: bool) -> ImageSource:
    """The source with image ids that do not depend on the order of its rows.

    A column of image ids is taken as it is. Else an image has its product's id, further images of the product
    ``ID#2``, ``ID#3`` in their order, but for ids that other products have; without product ids the path of its file.
    Row numbers are the last resort. A row whose product's id or file's path is missing has no id and cannot be used.

    Args:
        source: any.
        lasting: refuse row numbers, which would be taken for those of the source before.

    Raises:
        SourceError: there are only row numbers.
    """
    columns = source.columns
    if columns.image_id is not None:
        return source
    if columns.product_id is not None:
        return source.with_ids(numbered(list(source.product_ids())))
    assert columns.image is not None
    names = source.other_columns([columns.image])[columns.image].to_pylist()
    if all(name is None or isinstance(name, str) for name in names):
        named = [name for name in names if name]
        if named and len(set(named)) == len(named):
            return source.with_ids([name or "" for name in names])
    if lasting:
        raise SourceError(
            f"{source.name}: its images have no ids, only row numbers, and those mean others in the index. Name a "
            "column with --product-id-column or --image-id-column."
        )
    return source


def numbered(products: Sequence[str]) -> list[str]:
    """An id an image, none twice; empty where the product's is."""
    taken, last = set(products), Counter[str]()
    ids = []
    for product in products:
        name = product
        last[product] += 1
        while product and last[product] > 1 and (name := f"{product}#{last[product]}") in taken:
            last[product] += 1
        ids.append(name)
    return ids


def images_of(index: ProductIndex, ids: Sequence[str]) -> tuple[dict[str, str], set[str]]:
    """Every image that ``ids``, of products or of images, name, with the id that counts; and the ids that do.

    An image's own id counts before that of its product.
    """
    named = {name: name for name in index.existing(ids, [])}
    found = set(named)
    for batch in index.by_ids(ids, ["picture_id", "product_id"], "product_id"):
        for row in batch.to_pylist():
            named.setdefault(row["picture_id"], row["product_id"])
            found.add(row["product_id"])
    return named, found


def find_images(index: ProductIndex, ids: Sequence[str]) -> tuple[dict[str, str], list[str]]:
    """The images that some ids name, with the id that counts, as :func:`images_of`; and the ids that name none.

    Earlier versions took the id 101 of a column that pandas had made one of floats for ``101.0``; it is found, too.
    """
    named, found = images_of(index, ids)
    floats = {f"{name}.0": name for name in set(ids) - found if name.isdecimal()}
    older, found_older = images_of(index, list(floats))
    named = {image: floats[name] for image, name in older.items()} | named
    found |= {floats[name] for name in found_older}
    return named, [name for name in dict.fromkeys(ids) if name not in found]


def places_of(index: ProductIndex, cells: Sequence[Any], id_column: str) -> tuple[dict[str, int], Problems]:
    """Row of each id, and the rows that count for none.

    A product's further rows are those of its further images, as when the index was built, where it has these.
    """
    products = [id_text(cell) or "" for cell in cells]
    names = numbered(products)
    further = index.existing([name for name, product in zip(names, products, strict=True) if name != product], [])
    places: dict[str, int] = {}
    skipped: Problems = []
    for row, (product, own) in enumerate(zip(products, names, strict=True)):
        name = own if own in further else product
        if not name:
            skipped.append((f"row {row}", f"has no id in column {id_column!r}"))
            continue
        if name in places:
            skipped.append((name, f"row {places[name]}: the id stands in row {row}, too, which counts"))
        places[name] = row
    return places, skipped
