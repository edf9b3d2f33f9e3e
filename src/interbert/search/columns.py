"""The columns of a catalogue that filters use: price, colour, stock. Found in a source, kept with their kind."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

from interbert.errors import ColumnError, SourceError

Kind = Literal["text", "integer", "number", "boolean"]

_INTEGER = r"^[-+]?(?:0|[1-9]\d{0,17})$"  # 007 is a name
_NUMBER = r"^[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?$"
_BOOLEAN = r"(?i)^(?:true|false)$"


@dataclass(frozen=True)
class Column:
    """One column."""

    name: str
    """As the source, and the user, calls it."""
    field: str
    """As the database calls it: small letters, digits and _."""
    kind: Kind

    def to_dict(self) -> dict[str, str]:
        """Plain fields, for JSON."""
        return asdict(self)


def find_columns(table: Any, where: str, wanted: Sequence[str] = ()) -> list[Column]:
    """Columns of an Arrow table with their kinds; texts that are all numbers (as in csv) are numbers.

    Args:
        table: no pictures in it.
        where: the source, for messages.
        wanted: only these, and each of them; empty takes all whose values are single ones.

    Raises:
        ColumnError: a wanted column is missing.
        SourceError: a wanted one holds lists or structures.
    """
    for name in wanted:
        if name not in table.column_names:
            raise ColumnError.missing(name, table.column_names, where)
    columns: list[Column] = []
    for name in wanted or table.column_names:
        kind = _kind(table[name])
        if kind is None:
            if wanted:
                raise SourceError(f"{where}: column {name!r} holds no single values, so no filter can use it.")
            continue
        columns.append(Column(name, _field(name, [one.field for one in columns]), kind))
    return columns


def cast_columns(table: Any, columns: Sequence[Column], where: str) -> dict[str, Any]:
    """Arrow arrays by field, of the columns' kinds; those that the table lacks are null.

    Raises:
        SourceError: a value does not fit its column's kind; row and value are named.
    """
    import pyarrow as pa

    arrays: dict[str, Any] = {}
    for column in columns:
        kind = arrow_type(column.kind)
        if column.name not in table.column_names:
            arrays[column.field] = pa.nulls(len(table), kind)
            continue
        values = table[column.name].combine_chunks() if len(table) else pa.array([], kind)
        arrays[column.field] = _cast(values, column, where)
    return arrays


def arrow_type(kind: Kind) -> Any:
    """How a kind is stored."""
    import pyarrow as pa

    return {"text": pa.string(), "integer": pa.int64(), "number": pa.float64(), "boolean": pa.bool_()}[kind]


def _kind(values: Any) -> Kind | None:
    import pyarrow as pa
    import pyarrow.compute as pc

    kind = values.type
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    if pa.types.is_boolean(kind):
        return "boolean"
    if pa.types.is_integer(kind):
        return "integer"
    if pa.types.is_floating(kind) or pa.types.is_decimal(kind):
        return "number"
    if pa.types.is_temporal(kind) or pa.types.is_null(kind):
        return "text"
    if not (pa.types.is_string(kind) or pa.types.is_large_string(kind)):
        return None
    trimmed = pc.utf8_trim_whitespace(values.cast(pa.string()))
    filled = trimmed.filter(pc.not_equal(trimmed, "")).drop_null()
    if not len(filled):
        return "text"
    shapes: list[tuple[str, Kind]] = [(_INTEGER, "integer"), (_NUMBER, "number"), (_BOOLEAN, "boolean")]
    for shape, found in shapes:
        if pc.all(pc.match_substring_regex(filled, shape)).as_py():
            named = found == "number" and pc.any(pc.match_substring_regex(filled, r"^[-+]?0\d")).as_py()
            return "text" if named else found
    return "text"


def _cast(values: Any, column: Column, where: str) -> Any:
    import pyarrow as pa
    import pyarrow.compute as pc

    wanted = arrow_type(column.kind)
    if pa.types.is_floating(values.type):
        values = pc.if_else(pc.is_nan(values), pa.scalar(None, values.type), values)
    try:
        if column.kind != "text" and pa.types.is_string(values.type.value_type if _coded(values) else values.type):
            trimmed = pc.utf8_trim_whitespace(values.cast(pa.string()))
            values = pc.if_else(pc.equal(trimmed, ""), pa.scalar(None, pa.string()), trimmed)
        return values.cast(wanted)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        row, value = _misfit(values, wanted)
        raise SourceError(
            f"{where}, row {row}: {column.name!r} is {str(value)[:60]!r}, but this column holds "
            f"{_PLURAL[column.kind]}. Correct the row, or build the index anew."
        ) from error


def _coded(values: Any) -> bool:
    import pyarrow as pa

    return bool(pa.types.is_dictionary(values.type))


def _misfit(values: Any, wanted: Any) -> tuple[int, Any]:
    """The first row whose value cannot be cast."""
    import pyarrow as pa

    for row, value in enumerate(values):
        try:
            pa.array([value.as_py()], values.type).cast(wanted)
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
            return row, value.as_py()
    return 0, None


_PLURAL = {"text": "texts", "integer": "whole numbers", "number": "numbers", "boolean": "true or false"}


def _field(name: str, taken: Iterable[str]) -> str:
    """A database's name of a column, which needs no quotes and is nobody else's."""
    base = "m_" + re.sub(r"[^0-9a-z]+", "_", name.lower()).strip("_")
    field, number = base, 2
    while field in set(taken):
        field, number = f"{base}_{number}", number + 1
    return field
