"""The columns of a catalogue that filters use: price, colour, stock. Found in a source, kept with their kind."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

from interbert.errors import ColumnError, SourceError
from interbert.search.parsing import (
    Decimal,
    NumberStyle,
    date_note,
    date_texts,
    group_note,
    number_style,
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
        elif kinds[name] == "text" and is_text(values.type):
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
        elif name in plain and is_text(values.type) and (read := group_note(values)) is not None:
            notes.append(
                f"column {name!r}: the point of {read} was read as that of a decimal, as in all its numbers with a "
                "point. If it parts thousands, write them without and build the index anew (--rebuild)"
            )
    return notes


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
    return values.cast(pa.string()) if is_text(values.type) else values


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


def is_text(kind: Any) -> bool:
    """Whether an Arrow type is one of texts."""
    import pyarrow as pa

    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind))


def is_list(kind: Any) -> bool:
    """Whether an Arrow type is one of lists."""
    import pyarrow as pa

    return bool(pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind))


def _found(values: Any) -> Column | None:
    """Kind of flat values, and how they write numbers; None for what no filter can use. Name and field are empty."""
    import pyarrow as pa
    import pyarrow.compute as pc

    kind = values.type
    if is_text(kind):
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
    if is_list(kind):
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


def _field(name: str, taken: Iterable[str]) -> str:
    """A database's name of a column, which needs no quotes and is nobody else's."""
    base = "m_" + re.sub(r"[^0-9a-z]+", "_", name.lower()).strip("_")
    field, number = base, 2
    while field in set(taken):
        field, number = f"{base}_{number}", number + 1
    return field
