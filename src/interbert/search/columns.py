"""The columns of a catalogue that filters use: price, colour, stock. Found in a source, kept with their kind."""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

from interbert.errors import ColumnError, SourceError
from interbert.extraction.columns import id_text
from interbert.search.parsing import (
    Decimal,
    NumberStyle,
    date_note,
    date_texts,
    group_note,
    holds_codes,
    most_numbers,
    number_style,
    number_texts,
    spelled_list,
    temporal_texts,
    trimmed,
)

Kind = Literal["text", "integer", "number", "boolean", "date", "list"]

_BOOLEAN = r"(?i)^(?:true|false)$"


@dataclass(frozen=True)
class Column:
    """One column."""

    name: str
    """As the source, and the user, calls it."""
    field: str
    """As the database calls it: small letters, digits and _."""
    kind: Kind
    unit: str = ""
    """Currency sign of numbers that the source writes with one, such as ``$``."""
    decimal: Decimal = ""
    """What stands before the fraction in the source's texts; "" for plain numbers, and where no text showed it."""

    def to_dict(self) -> dict[str, str]:
        """Plain fields, for JSON."""
        return asdict(self)

    @property
    def description(self) -> str:
        """The kind in words."""
        words = {"list": "list of texts"}.get(self.kind, self.kind)
        return f"{words}, {self.unit}" if self.unit else words


def find_columns(table: Any, where: str, wanted: Sequence[str] = ()) -> list[Column]:
    """Columns of an Arrow table with their kinds; texts that are all numbers (as in csv), prices or dates are those.

    Args:
        table: no images in it.
        where: the source, for messages.
        wanted: only these, and each of them; empty takes all whose values are single ones or lists of single ones.

    Raises:
        ColumnError: a wanted column is missing.
        SourceError: a wanted one holds structures or bytes.
    """
    for name in wanted:
        if name not in table.column_names:
            raise ColumnError.missing(name, table.column_names, where)
    columns: list[Column] = []
    for name in wanted or table.column_names:
        found = _found(flat(table[name]))
        if found is None:
            if wanted:
                raise SourceError(
                    f"{where}: column {name!r} holds {table[name].type}, neither single values nor a list of them, so "
                    "no filter can use it."
                )
            continue
        columns.append(replace(found, name=name, field=_field(name, [one.field for one in columns])))
    return columns


def column_notes(table: Any, columns: Sequence[Column]) -> list[str]:
    """What users should know of a source's columns: those left out, and texts that are nearly numbers, with the row."""
    kinds = {column.name: column.kind for column in columns}
    plain = {column.name for column in columns if column.kind == "number" and not column.decimal}
    notes = []
    for name in table.column_names:
        values = flat(table[name])
        if name not in kinds:
            notes.append(f"column {name!r} is no filter column: it holds {table[name].type}")
        elif kinds[name] == "text" and not len(values.drop_null()):
            notes.append(f"column {name!r} is empty, so it is one of texts until the index is built anew")
        elif kinds[name] == "text" and _is_text(values.type):
            why = number_style(values)
            if isinstance(why, str):
                notes.append(
                    f"column {name!r} is one of texts, which < and > do not compare: {why}. Correct it and build "
                    "the index anew (--rebuild) for numbers"
                )
            elif why is None and (undated := date_note(values)) is not None:
                notes.append(
                    f"column {name!r} is one of texts, not of dates: {undated}. Write dates as 2026-01-05 and "
                    "build the index anew (--rebuild)"
                )
        elif name in plain and _is_text(values.type) and (read := group_note(values)) is not None:
            notes.append(
                f"column {name!r}: the point of {read} was read as that of a decimal, as in all its numbers with a "
                "point. If it parts thousands, write them without and build the index anew (--rebuild)"
            )
    return notes


def cast_columns(table: Any, columns: Sequence[Column], where: str) -> dict[str, Any]:
    """Arrow arrays by field, of the columns' kinds; those that the table lacks are null.

    A column of whole numbers whose new values have fractions comes as float64: widen the index's column to it.

    Raises:
        SourceError: a value does not fit its column's kind; row and value are named.
    """
    import pyarrow as pa

    arrays: dict[str, Any] = {}
    for column in columns:
        if column.name in table.column_names and len(table):
            arrays[column.field] = _cast(flat(table[column.name]), column, where)
        else:
            arrays[column.field] = pa.nulls(len(table), arrow_type(column.kind))
    return arrays


def arrow_type(kind: Kind) -> Any:
    """How a kind is stored; dates as ISO texts, whose order is theirs."""
    import pyarrow as pa

    types = {"integer": pa.int64(), "number": pa.float64(), "boolean": pa.bool_(), "list": pa.list_(pa.string())}
    return types.get(kind, pa.string())


def flat(values: Any) -> Any:
    """A column as one Arrow array of plain values: no codes for them, and JSON's mixed values as texts."""
    import pyarrow as pa

    values = pa.concat_arrays(values.chunks) if values.num_chunks else pa.array([], values.type)
    if isinstance(values.type, pa.JsonType):
        values = _from_json(values.storage.cast(pa.string()))
    if pa.types.is_dictionary(values.type):
        values = values.dictionary_decode()
    return values.cast(pa.string()) if _is_text(values.type) else values


def _from_json(cells: Any) -> Any:
    """Single JSON values as texts, numbers as they are written; structures where one of them is one."""
    import pyarrow as pa

    texts: list[str | None] = []
    for cell in cells.to_pylist():
        try:
            value = None if cell is None else json.loads(cell, parse_int=str, parse_float=str)
        except (ValueError, RecursionError):
            value = cell
        if isinstance(value, list | dict):
            return pa.nulls(len(cells), pa.struct([]))
        texts.append(str(value).lower() if isinstance(value, bool) else value)
    return pa.array(texts, pa.string())


def _is_text(kind: Any) -> bool:
    import pyarrow as pa

    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind))


def _is_list(kind: Any) -> bool:
    import pyarrow as pa

    return bool(pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind))


def _found(values: Any) -> Column | None:
    """Kind of flat values, and how they write numbers; None for what no filter can use. Name and field are empty."""
    import pyarrow as pa
    import pyarrow.compute as pc

    kind = values.type
    if _is_text(kind):
        return _found_in_texts(values)
    if pa.types.is_boolean(kind):
        return Column("", "", "boolean")
    if pa.types.is_integer(kind):
        large = pa.types.is_uint64(kind) and (pc.max(values).as_py() or 0) >= 2**63
        return Column("", "", "number" if large else "integer")
    if pa.types.is_floating(kind) or pa.types.is_decimal(kind):
        return Column("", "", "number")
    if pa.types.is_date(kind) or pa.types.is_timestamp(kind):
        return Column("", "", "date")
    if pa.types.is_temporal(kind) or pa.types.is_null(kind):
        return Column("", "", "text")
    if _is_list(kind):
        single = _found(values.flatten())
        return None if single is None or single.kind == "list" else Column("", "", "list")
    return None


def _found_in_texts(values: Any) -> Column:
    import pyarrow.compute as pc

    style = number_style(values)
    if isinstance(style, NumberStyle):
        return Column("", "", "integer" if style.whole else "number", style.unit, style.decimal)
    filled = trimmed(values).drop_null()
    if len(filled) and pc.all(pc.match_substring_regex(filled, _BOOLEAN)).as_py():
        return Column("", "", "boolean")
    return Column("", "", "text" if date_texts(values) is None else "date")


def _cast(values: Any, column: Column, where: str) -> Any:
    read = number_style(values, column.unit) if _needs_style(values, column) else None
    style = read if isinstance(read, NumberStyle) else NumberStyle(column.unit, column.decimal)
    fitted = _fitted(values, column, style)
    if fitted is not None:
        return fitted
    most = number_style(most_numbers(values)) if isinstance(read, str) else None
    row = _first_unfit(values, column, most if isinstance(most, NumberStyle) else style)
    if isinstance(most, NumberStyle) and _fitted(values.slice(row, 1), column, most) is not None:
        row = _first_unfit(values, column, style)  # it all fits as most rows are written, but that was not clear
    value = values[row].as_py()
    kind = _PLURAL[column.kind] + (f" in {column.unit}" if column.unit else "")
    kind += " with a decimal comma" if column.decimal == "," else ""
    if column.kind in ("integer", "number") and column.decimal and _is_text(values.type):
        read = number_style(values)
    why = f" ({read})" if isinstance(read, str) else ""
    raise SourceError(
        f"{where}, row {row}: {column.name!r} is {str(value)[:60]!r}, but this column holds {kind}{why}. Correct the "
        "row, or build the index anew."
    )


def _needs_style(values: Any, column: Column) -> bool:
    """Whether the source's texts, not the column, say how numbers are written."""
    return column.kind in ("integer", "number") and not column.decimal and _is_text(values.type)


def _first_unfit(values: Any, column: Column, style: NumberStyle) -> int:
    """Row of the first of flat values that does not fit, where one does not; halving looks at each once at most."""
    low, high = 0, len(values)
    while high - low > 1:
        middle = (low + high) // 2
        if _fitted(values.slice(low, middle - low), column, style) is None:
            high = middle
        else:
            low = middle
    return low


def _fitted(values: Any, column: Column, style: NumberStyle) -> Any | None:
    """Flat values as a column keeps them, texts of numbers in one style; None where one of them does not fit."""
    import pyarrow as pa

    try:
        if column.kind in ("integer", "number"):
            return _numbers(values, column, style)
        if column.kind == "list":
            return _lists(values)
        if pa.types.is_date(values.type) or pa.types.is_timestamp(values.type):
            return temporal_texts(values).cast(arrow_type(column.kind))
        if column.kind == "date":
            empty = _is_text(values.type) and not len(trimmed(values).drop_null())
            return trimmed(values) if empty or pa.types.is_null(values.type) else date_texts(values)
        if column.kind == "boolean":
            return _booleans(values)
        return _texts(values)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError, pa.ArrowTypeError):
        return None


def _texts(values: Any) -> Any:
    """Values as texts; blank ones null, and floats that are whole numbers without a fraction, as ids are."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if pa.types.is_floating(values.type) or pa.types.is_decimal(values.type):
        values = _shortest(values) if pa.types.is_floating(values.type) else values
        return pa.array([id_text(value) for value in values.to_pylist()], pa.string())
    texts = values.cast(pa.string())
    return pc.if_else(pc.is_null(trimmed(texts)), pa.scalar(None, pa.string()), texts)


def _numbers(values: Any, column: Column, style: NumberStyle) -> Any | None:
    """Whole numbers where the column's kind and the values are whole, else float64; no text is infinite."""
    import pyarrow as pa
    import pyarrow.compute as pc

    finite = column.kind == "integer" or _is_text(values.type)
    if _is_text(values.type):
        if holds_codes(values):
            return None
        values = number_texts(values, replace(style, unit=column.unit))
    elif pa.types.is_temporal(values.type) or pa.types.is_boolean(values.type):
        return None
    elif pa.types.is_floating(values.type):
        values = _shortest(values)
    elif pa.types.is_decimal(values.type):
        values = values.cast(pa.string())  # a cast to floats multiplies, and makes 19.990000000000002 of 19.99
    if column.kind == "integer":
        with contextlib.suppress(pa.ArrowInvalid):
            return values.cast(pa.int64())
    numbers = values.cast(pa.float64(), safe=column.kind == "integer" or not pa.types.is_integer(values.type))
    if finite and pc.any(pc.is_inf(numbers)).as_py():
        return None
    if column.kind == "integer":
        with contextlib.suppress(pa.ArrowInvalid):
            return numbers.cast(pa.int64())  # 101.0
    return numbers


def _booleans(values: Any) -> Any | None:
    """Booleans of true and false, 1 and 0; None where a value is another."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if _is_text(values.type):
        return trimmed(values).cast(pa.bool_())
    if pa.types.is_boolean(values.type) or pa.types.is_null(values.type):
        return values.cast(pa.bool_())
    numbers = _numbers(values, Column("", "", "number"), NumberStyle())
    if numbers is None or pc.any(pc.invert(pc.is_in(numbers, value_set=pa.array([0.0, 1.0, None])))).as_py():
        return None
    return numbers.cast(pa.bool_())


def _shortest(values: Any) -> Any:
    """Floats as float64 of their shortest decimals, so that float32's 19.99 is 19.99; NaN, which is no number, null."""
    import numpy as np
    import pyarrow as pa
    import pyarrow.compute as pc

    if pa.types.is_float16(values.type):
        texts = values.to_numpy(zero_copy_only=False).astype(np.str_)
        values = pa.array(texts, mask=np.asarray(values.is_null())).cast(pa.float64())
    elif pa.types.is_float32(values.type):
        values = values.cast(pa.string()).cast(pa.float64())
    return pc.if_else(pc.is_nan(values), pa.scalar(None, values.type), values)


def _lists(values: Any) -> Any | None:
    """Lists of texts, blank members left out; a single value is a list of one, a text that spells a list is that."""
    import numpy as np
    import pyarrow as pa

    if _is_text(values.type):
        values = _spelled_lists(values)
    if values is None or pa.types.is_null(values.type):
        return None if values is None else values.cast(arrow_type("list"))
    if not _is_list(values.type):
        members = _fitted(values, _TEXT, NumberStyle())
        counts = None if members is None else np.cumsum(np.asarray(members.is_valid()))
        offsets = [] if counts is None else [0, *counts.tolist()]
        if members is None:
            return None
        lists = pa.ListArray.from_arrays(pa.array(offsets, pa.int32()), members.drop_null(), mask=members.is_null())
        return lists.cast(arrow_type("list"))
    plain = values.cast(pa.list_(values.type.value_type))
    members = _fitted(flat(pa.chunked_array([plain.values])), _TEXT, NumberStyle())
    if members is None:
        return None
    lists = pa.ListArray.from_arrays(plain.offsets, members, mask=plain.is_null()).cast(arrow_type("list"))
    if not members.null_count:
        return lists
    rows = lists.to_pylist()
    filled = [None if row is None else [member for member in row if member is not None] for row in rows]
    return pa.array(filled, arrow_type("list"))


def _spelled_lists(texts: Any) -> Any | None:
    """Texts with those in brackets, as csv files have lists, as lists; None where one of them is no list of texts."""
    import pyarrow as pa

    plain = trimmed(texts).to_pylist()
    if not any(text is not None and _is_bracketed(text) for text in plain):
        return texts
    lists: list[list[str] | None] = []
    for text in plain:
        members = None if text is None else spelled_list(text) if _is_bracketed(text) else [text]
        if members is None and text is not None:
            return None
        lists.append(members)
    return pa.array(lists, arrow_type("list"))


def _is_bracketed(text: str) -> bool:
    return text.startswith("[") and text.endswith("]")


_TEXT = Column("", "", "text")
_PLURAL = {
    "text": "texts",
    "integer": "whole numbers",
    "number": "numbers",
    "boolean": "true or false",
    "date": "dates, such as 2026-01-05",
    "list": "lists of texts",
}


def _field(name: str, taken: Iterable[str]) -> str:
    """A database's name of a column, which needs no quotes and is nobody else's."""
    base = "m_" + re.sub(r"[^0-9a-z]+", "_", name.lower()).strip("_")
    field, number = base, 2
    while field in set(taken):
        field, number = f"{base}_{number}", number + 1
    return field
