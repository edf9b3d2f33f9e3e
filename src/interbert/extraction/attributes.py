"""What the columns of a catalogue say of its products, beside the titles: their attributes.

A title leaves out what a shopper's topic asks for: no title says that a shirt is formal, a column does. Columns of
training products are read when a backbone is taught and when a model is taught topics; those of the products that
pages rank are not.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from interbert.errors import SourceError, listed
from interbert.extraction.sources import PictureSource

ATTRIBUTES = "attributes"
"""Name of the field beside the titles' columns."""

_LEAST_ROWS = 10
"""Products per value that a column must have in the mean: one with more values names products, and no kinds of them."""
_NOTHING = frozenset({"", "na", "n/a", "nan", "none", "null", "unknown", "-"})


def kinds_of(source: PictureSource, titles: Sequence[str] = ()) -> list[str]:
    """Columns that say of what kind a product is: those of text with few different values.

    Args:
        source: the catalogue.
        titles: columns that are none.

    Raises:
        SourceError: there is none.
    """
    names = kinds_in(source, titles)
    if not names:
        table = source.other_columns()
        raise SourceError(
            f"{source.name}: no column of text has few enough different values to say of what kind a product is. Name "
            f"some with --columns; there are: {listed(table.column_names) or 'none'}."
        )
    return names


def kinds_in(source: PictureSource, titles: Sequence[str] = ()) -> list[str]:
    """As :func:`kinds_of`, none where there is none."""
    table = source.other_columns()
    return [name for name in table.column_names if name not in titles and _of_kinds(table[name])]


def attribute_values(source: PictureSource, columns: Sequence[str]) -> list[tuple[str, ...]]:
    """Of every row of a source, the values of its columns ("Men", "Shirts", "Blue"), "" where there is none.

    Args:
        source: the catalogue.
        columns: those that are named twice count once; of none, the rows are empty.

    Raises:
        ColumnError: there is no such column.
    """
    names = list(dict.fromkeys(columns))
    if not names:
        return [()] * len(source)
    table = source.other_columns(names)
    return list(zip(*([_plain(value) for value in table[name].to_pylist()] for name in names), strict=True))


def as_text(values: Sequence[str]) -> str:
    """Values of a row as one text, each once."""
    return " ".join(dict.fromkeys(value for value in values if value))


def _of_kinds(column: Any) -> bool:
    """Whether a column is of text and its values are shared by many rows."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if not (pa.types.is_string(column.type) or pa.types.is_large_string(column.type)):
        return False
    different = len(pc.unique(column))
    return 2 <= different <= len(column) / _LEAST_ROWS


def _plain(value: Any) -> str:
    text = "" if value is None else " ".join(str(value).split())
    return "" if text.lower() in _NOTHING else text
