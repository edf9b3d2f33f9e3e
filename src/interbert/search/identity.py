"""Ids under which an index knows images: they must mean the same in every source that is ever added."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from interbert.errors import SourceError
from interbert.extraction.sources import ImageSource


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
