"""Ids under which an index knows pictures: they must mean the same in every source that is ever added."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from interbert.errors import SourceError
from interbert.extraction.sources import PictureSource


def identified(source: PictureSource, lasting: bool) -> PictureSource:
    """The source with picture ids that do not depend on the order of its rows.

    A column of picture ids is taken as it is. Else a picture has its product's id, further pictures of the product
    ``ID#2``, ``ID#3`` in their order, but for ids that other products have; without product ids the path of its file.
    Row numbers are the last resort. A row whose product's id or file's path is missing has no id and cannot be used.

    Args:
        source: any.
        lasting: refuse row numbers, which would be taken for those of the source before.

    Raises:
        SourceError: there are only row numbers.
    """
    columns = source.columns
    if columns.picture_id is not None:
        return source
    if columns.product_id is not None:
        return source.with_ids(numbered(list(source.product_ids())))
    assert columns.picture is not None
    names = source.other_columns([columns.picture])[columns.picture].to_pylist()
    if all(name is None or isinstance(name, str) for name in names):
        named = [name for name in names if name]
        if named and len(set(named)) == len(named):
            return source.with_ids([name or "" for name in names])
    if lasting:
        raise SourceError(
            f"{source.name}: its pictures have no ids, only row numbers, and those mean others in the index. Name a "
            "column with --product_id or --picture_id."
        )
    return source


def numbered(products: Sequence[str]) -> list[str]:
    """An id a picture, none twice; empty where the product's is."""
    taken, last = set(products), Counter[str]()
    ids = []
    for product in products:
        name = product
        last[product] += 1
        while product and last[product] > 1 and (name := f"{product}#{last[product]}") in taken:
            last[product] += 1
        ids.append(name)
    return ids
