"""Files of one table whose columns differ: as one table, with the columns that fit together.

A part in which a column has no values, whole numbers only, or that lacks a column altogether, is common: every file is
written by itself. ``datasets`` takes the types of the first file for those of all.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any


def join(files: Sequence[Path], parts: Sequence[Any]) -> tuple[Any, dict[str, str]]:
    """One ``datasets.Dataset`` of the rows of several.

    Types are unified: nothing with anything, narrow numbers with wide ones, integers with fractions, numbers with
    texts, which then are texts. Columns that do not fit together are left out.

    Args:
        files: for messages.
        parts: a ``datasets.Dataset`` each.

    Returns:
        the rows; and each column that was left out, with why.
    """
    import datasets
    import pyarrow as pa

    tables = [part.with_format("arrow")[:].replace_schema_metadata(None) for part in parts]
    left_out: dict[str, str] = {}
    for name in dict.fromkeys(name for table in tables for name in table.column_names):
        holding = [place for place, table in enumerate(tables) if name in table.column_names]
        columns = {place: tables[place][name] for place in holding}
        unified = _unified(columns)
        if unified is None:
            left_out[name] = _difference(files, columns)
        for place in holding:
            table, index = tables[place], tables[place].column_names.index(name)
            tables[place] = (
                table.remove_column(index) if unified is None else table.set_column(index, name, unified[place])
            )
    return datasets.Dataset(datasets.table.InMemoryTable(pa.concat_tables(tables, promote_options="default"))), left_out


def _unified(columns: Mapping[int, Any]) -> dict[int, Any] | None:
    """The columns in one type, None where there is none."""
    import pyarrow as pa

    wanted = None
    for column in columns.values():
        wanted = column.type if wanted is None else _common(wanted, column.type)
        if wanted is None:
            return None
    try:
        return {place: _cast(column, wanted) for place, column in columns.items()}
    except pa.ArrowInvalid:  # an integer that is no float without loss
        return None


def _common(one: Any, other: Any) -> Any:
    """A type that holds the values of both."""
    import pyarrow as pa

    schemas = [pa.schema([("column", kind)]) for kind in (one, other)]
    try:
        return pa.unify_schemas(schemas, promote_options="permissive").field(0).type
    except (pa.ArrowTypeError, pa.ArrowInvalid):
        return pa.string() if _is_single(one) and _is_single(other) else None


def _is_single(kind: Any) -> bool:
    """A text or a number."""
    import pyarrow as pa

    tests = (pa.types.is_string, pa.types.is_large_string, pa.types.is_integer, pa.types.is_floating)
    return any(test(kind) for test in tests)


def _cast(column: Any, wanted: Any) -> Any:
    import pyarrow as pa

    if pa.types.is_floating(column.type) and pa.types.is_string(wanted):
        with contextlib.suppress(pa.ArrowInvalid):
            column = column.cast(pa.int64())  # numbers that a missing value made floats
    return column.cast(wanted)


def _difference(files: Sequence[Path], columns: Mapping[int, Any]) -> str:
    kinds = {str(column.type): place for place, column in reversed(list(columns.items()))}
    told = [f"{_short(kind)} in {files[place].name}" for kind, place in reversed(list(kinds.items()))][:2]
    return f"is {' and '.join(told)}, which do not fit together"


def _short(text: str) -> str:
    return text if len(text) <= 60 else f"{text[:57]}..."
