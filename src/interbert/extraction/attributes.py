"""What the columns of a catalogue say of its products, beside the titles: their attributes.

A title leaves out what a shopper's topic asks for: no title says that a shirt is formal, a column does. Columns of
training products are read when a backbone is taught and when a model is taught topics; those of the products that
pages rank are not.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from interbert.errors import SourceError
from interbert.extraction.columns import ColumnMapping
from interbert.extraction.sources import ImageSource, open_source
from interbert.extraction.table_limits import MAX_TEXT
from interbert.extraction.tables import read_rows

_LEAST_ROWS = 10
"""Products per value that a column must have in the mean: one with more values names products, and no kinds of them."""
_LEAST_VALUES = 2
_TRUTHS = frozenset({"true", "false", "yes", "no"})
_NOTHING = frozenset({"", "na", "n/a", "nan", "none", "null", "unknown", "-"})


@dataclass(frozen=True)
class FacetColumns:
    """Which columns of a catalogue say of what kind a product is, and why the others do not."""

    taken: tuple[str, ...]
    left_out: dict[str, str]
    """Reason by column."""

    def told(self) -> str:
        """What is left out, in words; "" when nothing is."""
        return "; ".join(f"{name[:60]} ({why})" for name, why in self.left_out.items())


def facet_columns_of(source: ImageSource, titles: Sequence[str] = ()) -> FacetColumns:
    """Columns that say of what kind a product is: those of text with few different values.

    Numbers and dates are none, whether a source has them as such or, like a csv file, as texts: they are quantities.

    Args:
        source: the catalogue.
        titles: columns that are none.

    Raises:
        SourceError: there is none.
    """
    found = facet_columns_in(source, titles)
    if not found.taken:
        raise SourceError(
            f"{source.name}: no column says of what kind a product is: {found.told() or 'it has no further columns'}. "
            "Name some with --columns."
        )
    return found


def facet_columns_in(source: ImageSource, titles: Sequence[str] = ()) -> FacetColumns:
    """As :func:`facet_columns_of`, none where there is none."""
    table = source.other_columns()
    reasons = {name: _why_no_facets(table[name]) for name in table.column_names if name not in titles}
    reasons |= {name: "read as a title" for name in table.column_names if name in titles}
    taken = tuple(name for name, why in reasons.items() if why is None)
    return FacetColumns(taken, {name: why for name, why in reasons.items() if why is not None})


def attribute_values(source: ImageSource, columns: Sequence[str]) -> list[tuple[str, ...]]:
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


def _why_no_facets(column: Any) -> str | None:
    """Why a column does not say of what kind a product is; None when it does."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    kind = column.type
    if pa.types.is_boolean(kind):
        return "true or false"
    if pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind):
        return "numbers"
    if pa.types.is_temporal(kind):
        return "dates"
    if pa.types.is_null(kind):
        return "empty"
    if not (pa.types.is_string(kind) or pa.types.is_large_string(kind)):
        return "no single texts"
    different, most = len(pc.unique(column)), len(column) // _LEAST_ROWS
    if different > most:
        return f"{different:,} different values in {len(column):,} rows; at most {most:,}, else they name products"
    counted = pc.value_counts(column).to_pylist()
    counts = {one["values"]: one["counts"] for one in counted if _plain(one["values"])}
    if different < _LEAST_VALUES:
        return "the same in every row" if counts else "empty"
    if counts and all(str(value).strip().lower() in _TRUTHS for value in counts):
        return "true or false"
    if 2 * sum(count for value, count in counts.items() if _is_quantity(value)) > sum(counts.values()):
        return "numbers or dates"
    return None


def _is_quantity(text: str) -> bool:
    """Whether a text has digits and no letters: 7, 12,50, $1,019.99, 20%, 2026-01-05."""
    return any(sign.isdigit() for sign in text) and not any(sign.isalpha() for sign in text)


def _plain(value: Any) -> str:
    text = "" if value is None else " ".join(str(value).split())
    return "" if text.lower() in _NOTHING else text


@dataclass(frozen=True)
class LabelledSource:
    """Columns of a source: labels, and texts or images."""

    labels: tuple[str, ...]
    texts: tuple[str, ...] | None
    images: ImageSource | None
    fingerprint: str
    """SHA-256 of the texts and labels, first 16 hex digits."""
    rows: tuple[int, ...]
    """Of the source, from 0: where each label, text and image comes from."""
    left_out: tuple[tuple[int, str], ...] = ()
    """Further rows of the source, each with the reason why it cannot be used."""


def read_labelled(source: str, text: str | None, image: str | None, label: str) -> LabelledSource:
    """Read a source's label column and its text or image column, or both; rows without one of them are left out.

    Raises:
        SourceError: the source is missing or empty, or all of its rows are left out.
        ColumnError: a column is missing, with the nearest name that exists.
    """
    found = read_rows(source)
    found.require((label, text, image), source)
    read = [name for name in (label, text) if name is not None]
    cells = {name: [_cell(value) for value in found.rows[name]] for name in read}
    reasons = [_unusable({name: values[row] for name, values in cells.items()}) for row in range(len(cells[label]))]
    rows = tuple(row for row, reason in enumerate(reasons) if not reason)
    left_out = tuple((row, reason) for row, reason in enumerate(reasons) if reason)
    if not rows:
        raise SourceError(f"{source}: none of its {len(reasons):,} rows can be used; row 0: {reasons[0]}. Fill it.")
    labels, *others = (tuple(cells[name][row] for row in rows) for name in read)
    texts = others[0] if others else None
    images = None
    if image is not None:
        images = open_source(source, ColumnMapping(image), need_texts=False)
        images = images.select(rows) if left_out else images
    digest = hashlib.sha256("\x1f".join((*labels, *(texts or ()))).encode()).hexdigest()[:16]
    return LabelledSource(labels, texts, images, f"{digest}-{len(labels)}", rows, left_out)


def _cell(value: object) -> str:
    return "" if value is None else str(value).strip()


def _unusable(cells: Mapping[str, str]) -> str:
    """Why a row cannot be used; "" when it can."""
    for column, text in cells.items():
        if not text:
            return f"{column!r} is empty"
        if len(text) > MAX_TEXT:
            return f"{column!r} has {len(text):,} characters; at most {MAX_TEXT:,} are read"
    return ""
