"""Ids under which an index knows pictures: they must mean the same in every source that is ever added."""

from __future__ import annotations

from collections import Counter

from interbert.errors import SourceError
from interbert.extraction.sources import PictureSource


def identified(source: PictureSource, lasting: bool) -> PictureSource:
    """The source with picture ids that do not depend on the order of its rows.

    A column of picture ids is taken as it is. Else a picture has its product's id, further pictures of the product
    ``ID#2``, ``ID#3`` in their order; without product ids the path of its file. Row numbers are the last resort.

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
        seen: Counter[str] = Counter()
        ids = []
        for product, _ in source.products_and_texts():
            seen[product] += 1
            ids.append(product if seen[product] == 1 else f"{product}#{seen[product]}")
        return source.with_ids(ids)
    assert columns.picture is not None
    names = source.other_columns([columns.picture])[columns.picture].to_pylist()
    if all(isinstance(name, str) and name for name in names) and len(set(names)) == len(names):
        return source.with_ids(names)
    if lasting:
        raise SourceError(
            f"{source.name}: its pictures have no ids, only row numbers, and those mean others in the index. Name a "
            "column with --product_id or --picture_id."
        )
    return source
