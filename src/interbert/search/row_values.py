"""Values of one product as an index's columns keep them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from interbert.errors import SourceError
from interbert.search.casting import cast_columns
from interbert.search.columns import Column

_WHERE = "the product"
_LARGEST = 2**63


def column_values(columns: Mapping[str, Column], given: Mapping[str, Any]) -> dict[str, Any] | str:
    """Values by field, of the columns' kinds; or, of the first that does not fit, why, as a sentence.

    A whole number's column gets a float where the value has a fraction: it is to be widened.

    Args:
        columns: of the index, by name.
        given: values by name, as JSON has them.
    """
    found: dict[str, Any] = {}
    for name, value in given.items():
        column = columns[name]
        if _fits(column, value):
            found[column.field] = value
            continue
        try:
            found[column.field] = _cast(column, value)
        except SourceError as error:
            return str(error).removeprefix(f"{_WHERE}, row 0: ").replace(" Correct the row, or build the", " Build the")
        except (ValueError, TypeError, OverflowError):  # of Arrow: lists of several types, objects, huge numbers
            return f"{name!r} is {str(value)[:60]!r}, which no column of kind {column.kind!r} holds."
    return found


def _fits(column: Column, value: Any) -> bool:
    """Whether a value is one of the column's kind as it stands, which most are."""
    if value is None:
        return True
    if column.kind == "integer":
        return type(value) is int and -_LARGEST <= value < _LARGEST
    if column.kind == "list":
        return type(value) is list and all(type(one) is str and one.strip() for one in value)
    if column.kind == "text":
        return type(value) is str and bool(value.strip())
    return type(value) is {"number": float, "boolean": bool}.get(column.kind)


def _cast(column: Column, value: Any) -> Any:
    import pyarrow as pa

    values = pa.table({column.name: pa.array([value])})
    return cast_columns(values, [column], _WHERE)[column.field][0].as_py()
