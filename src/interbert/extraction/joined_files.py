"""Files of one table whose columns differ: as one table, with the columns that fit together.

A part in which a column has no values, whole numbers only, or that lacks a column altogether, is common: every file is
written by itself. ``datasets`` takes the types of the first file for those of all.
"""

from __future__ import annotations

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
    """A text, a number, a truth value or a date."""
    import pyarrow as pa

    texts = pa.types.is_string(kind) or pa.types.is_large_string(kind)
    numbers = pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind)
    return bool(texts or numbers or pa.types.is_boolean(kind) or pa.types.is_temporal(kind))


def _cast(column: Any, wanted: Any) -> Any:
    """Values in another type, as they are written: 19.99 of any type is 19.99, and NaN, which is no number, is null."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if column.type == wanted:
        return column
    if pa.types.is_floating(column.type):
        if pa.types.is_float16(column.type):
            column = column.cast(pa.float32())
        column = pc.if_else(pc.is_nan(column), pa.scalar(None, column.type), column)
    if pa.types.is_string(wanted) and pa.types.is_floating(column.type):
        whole = pc.and_(pc.is_finite(column), pc.equal(column, pc.floor(column)))
        within = pc.less(pc.abs(column), pa.scalar(2.0**63).cast(column.type))
        integers = pc.if_else(pc.and_(whole, within), column, pa.scalar(None, column.type)).cast(pa.int64())
        return pc.coalesce(integers.cast(wanted), column.cast(wanted))  # 101.0, which a missing value made a float
    if pa.types.is_floating(wanted) and (pa.types.is_float32(column.type) or pa.types.is_decimal(column.type)):
        return column.cast(pa.string()).cast(wanted)
    return column.cast(wanted)


def _difference(files: Sequence[Path], columns: Mapping[int, Any]) -> str:
    kinds = {str(column.type): place for place, column in reversed(list(columns.items()))}
    told = [f"{_short(kind)} in {files[place].name}" for kind, place in reversed(list(kinds.items()))][:2]
    return f"is {' and '.join(told)}, which do not fit together"


def _short(text: str) -> str:
    return text if len(text) <= 60 else f"{text[:57]}..."
