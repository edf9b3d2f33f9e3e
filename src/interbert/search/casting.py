"""Values of a source as a column of an index keeps them: of the column's kind, or refused with row and value."""

from __future__ import annotations

import ast
import contextlib
import io
import itertools
import json
import tokenize
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from interbert.errors import SourceError
from interbert.extraction.columns import id_text
from interbert.search.columns import Column, arrow_type, flat, is_list, is_text
from interbert.search.parsing import (
    NumberStyle,
    date_texts,
    holds_codes,
    most_numbers,
    number_style,
    number_texts,
    temporal_texts,
    trimmed,
)

_TEXT = Column("", "", "text")
_PLURAL = {
    "text": "texts",
    "integer": "whole numbers",
    "number": "numbers",
    "boolean": "true or false",
    "date": "dates, such as 2026-01-05",
    "list": "lists of texts",
}
_LONGEST_LIST = 20_000
"""Characters of a list that a text spells."""


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
    if column.kind in ("integer", "number") and column.decimal and is_text(values.type):
        read = number_style(values)
    why = f" ({read})" if isinstance(read, str) else ""
    raise SourceError(
        f"{where}, row {row}: {column.name!r} is {str(value)[:60]!r}, but this column holds {kind}{why}. Correct the "
        "row, or build the index anew."
    )


def _needs_style(values: Any, column: Column) -> bool:
    """Whether the source's texts, not the column, say how numbers are written."""
    return column.kind in ("integer", "number") and not column.decimal and is_text(values.type)


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
            empty = is_text(values.type) and not len(trimmed(values).drop_null())
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

    finite = column.kind == "integer" or is_text(values.type)
    if is_text(values.type):
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

    if is_text(values.type):
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

    if is_text(values.type):
        values = _spelled_lists(values)
    if values is None or pa.types.is_null(values.type):
        return None if values is None else values.cast(arrow_type("list"))
    if not is_list(values.type):
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
        members = None if text is None else _spelled_list(text) if _is_bracketed(text) else [text]
        if members is None and text is not None:
            return None
        lists.append(members)
    return pa.array(lists, arrow_type("list"))


def _is_bracketed(text: str) -> bool:
    return text.startswith("[") and text.endswith("]")


def _spelled_list(text: str) -> list[str] | None:
    """Members of a list of texts and numbers as JSON or Python writes it; None for anything else.

    Python joins texts that stand side by side, as numpy prints its arrays (``['red' 'hat']``): those are no list.
    """
    if len(text) > _LONGEST_LIST:
        return None
    try:
        members = _json_or_python(text)
        "".join(map(str, members)).encode()  # half of a surrogate pair is no text
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError, tokenize.TokenError):
        return None
    plain = all(isinstance(member, str | int | float) and not isinstance(member, bool) for member in members)
    return [str(member) for member in members] if isinstance(members, list) and plain else None


def _json_or_python(text: str) -> Any:
    try:
        return json.loads(text, parse_int=str, parse_float=str, parse_constant=ast.literal_eval)
    except ValueError:
        tokens = [one.type for one in tokenize.generate_tokens(io.StringIO(text).readline)]
        if (tokenize.STRING, tokenize.STRING) in itertools.pairwise(tokens):
            raise
        return ast.literal_eval(text)
