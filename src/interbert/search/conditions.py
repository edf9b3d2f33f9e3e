"""What a filter's condition means for values of a kind, as a condition of the database.

Whole numbers meet fractions at the whole numbers beside them. Dates are kept as ISO texts, whose order is that of time,
and ``'2026-01-05'`` names everything from its first to its last moment. Null fulfils neither a condition nor its
negation.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime
from decimal import ROUND_FLOOR, Decimal

from interbert.search.columns import Column

Value = Decimal | str | bool

_LARGEST = 2**63 - 1
_DATE = re.compile(r"(\d{4})(?:-(\d\d)(?:-(\d\d)(?:[T ](\d\d):(\d\d)(?::(\d\d)(\.\d{1,9})?)?)?)?)?")
_AFTER = "~"
"""Above every sign of a date."""
_TIMES = {len("2026-01-05"): "___:__%", len("2026-01-05 13:00"): ":__%", len("2026-01-05 13:00:00"): ".%"}
"""What texts have behind a day, a minute, a second, by their lengths."""
_BETWEEN = "\x1f"
"""Between the members of a list."""


def is_date(text: str) -> bool:
    """Whether a text is a year, month, day or moment, such as 2026-01-05 or 2026-01-05 13:00."""
    found = _DATE.fullmatch(text.strip())
    if found is None:
        return False
    year, month, day, hour, minute, second = (
        int(part or least) for part, least in zip(found.groups()[:-1], _LEAST, strict=True)
    )
    try:
        datetime(year, month, day, hour, minute, second)
    except ValueError:
        return False
    return True


_LEAST = (1, 1, 1, 0, 0, 0)


def compare(column: Column, operator: str, value: Value) -> str:
    """``column operator value``; the operator is one of =, !=, <, <=, >, >=."""
    field = column.field
    if isinstance(value, bool):
        return f"({field} {operator} {str(value).upper()})"
    if isinstance(value, Decimal):
        return f"({_whole(field, operator, value) if column.kind == 'integer' else _number(field, operator, value)})"
    if is_date(value) and column.field.startswith("m_"):  # an id is what it says
        return _date(column, operator, value)
    return f"({field} {operator} {quoted(value)})"


def among(column: Column, values: Sequence[Value]) -> str:
    """``column in (values)``, without brackets around it."""
    dates = any(isinstance(value, str) and is_date(value) for value in values)
    if dates or (column.kind == "integer" and not all(map(_is_whole, values))):
        return "(" + " OR ".join(compare(column, "=", value) for value in values) + ")"
    literals = [str(int(value)) if column.kind == "integer" else _literal(value) for value in values]
    return f"{column.field} IN ({', '.join(literals)})"


def between(column: Column, low: Value, high: Value) -> str:
    """``low <= column <= high``."""
    return f"({compare(column, '>=', low)[1:-1]} AND {compare(column, '<=', high)[1:-1]})"


def contains(column: Column, text: str) -> str:
    """Whether a text has a token, or a list a member, in any case of letters."""
    if column.kind != "list":
        return f"(strpos(lower({column.field}), {quoted(text.lower())}) > 0)"
    # null for a list without members, too, which fulfils neither this nor its negation
    joined = f"nullif(lower(array_to_string({column.field}, {quoted(_BETWEEN)})), '')"
    wanted = quoted(f"{_BETWEEN}{text.lower()}{_BETWEEN}")
    return f"(strpos({quoted(_BETWEEN)} || {joined} || {quoted(_BETWEEN)}, {wanted}) > 0)"


def is_null(column: Column, negated: bool) -> str:
    """Whether there is no value; a list without members has none."""
    field = column.field
    if column.kind == "list":
        joint = f"({field} IS NULL OR array_length({field}) = 0)"
        return f"(NOT {joint})" if negated else joint
    return f"({field} IS {'NOT ' if negated else ''}NULL)"


def quoted(text: str) -> str:
    """A text for the database."""
    return "'" + text.replace("'", "''") + "'"


def _literal(value: Value) -> str:
    if isinstance(value, bool):
        return str(value).upper()
    if isinstance(value, str):
        return quoted(value)
    whole = value.as_tuple().exponent == 0 and abs(value) <= _LARGEST
    return str(int(value)) if whole else repr(float(value))


def _number(field: str, operator: str, value: Decimal) -> str:
    return f"{field} {operator} {_literal(value)}"


def _is_whole(value: Value) -> bool:
    return isinstance(value, Decimal) and abs(value) <= _LARGEST and value == value.to_integral_value()


def _whole(field: str, operator: str, value: Decimal) -> str:
    """Whole numbers beside any number: the database compares them with whole numbers of 64 bits alone."""
    never, always = f"({field} < 0 AND {field} > 0)", f"({field} < 0 OR {field} >= 0)"  # null where it is null
    if abs(value) > _LARGEST:
        met = {"=": False, "!=": True, "<": value > 0, "<=": value > 0}.get(operator, value < 0)
        return always if met else never
    if _is_whole(value):
        return f"{field} {operator} {int(value)}"
    below = int(value.to_integral_value(ROUND_FLOOR))
    meant = {"=": never, "!=": always, "<": f"{field} <= {below}", "<=": f"{field} <= {below}"}
    return meant.get(operator, f"{field} > {below}")


def _date(column: Column, operator: str, written: str) -> str:
    """A date in a column of dates, or of texts some of which may be dates."""
    value = written.strip().replace("T", " ")
    field = column.field
    if ":" in value:  # as a source writes times, 13:00Z and T13:00 among them
        field = f"replace(replace({field}, 'T', ' '), 'Z', '')"
    low, high = quoted(re.sub(r" 00:00(:00(\.0+)?)?$", "", value)), quoted(value + _AFTER)
    if column.kind == "text" and operator in ("=", "!="):
        return _date_among_texts(column, field, operator, value, written)
    if column.kind == "text":  # of texts those alone that are dates
        bound = {"<": f"< {low}", "<=": f"< {high}", ">": f">= {high}", ">=": f">= {low}"}[operator]
        return f"({field} {bound} AND {column.field} LIKE '____-__-__%')"
    inside = f"{field} >= {low} AND {field} < {high}"
    meant = {"=": inside, "!=": f"NOT ({inside})", "<": f"{field} < {low}", "<=": f"{field} < {high}"}
    return f"({meant.get(operator, f'{field} >= {low}' if operator == '>=' else f'{field} >= {high}')})"


def _date_among_texts(column: Column, field: str, operator: str, value: str, written: str) -> str:
    """Texts that are the value as it is written, or the same date: earlier versions kept midnight as 00:00:00."""
    same = [f"{column.field} = {quoted(written)}", f"{field} = {quoted(value)}"]
    if len(value) in _TIMES:
        same.append(f"{field} LIKE {quoted(value + _TIMES[len(value)])}")
    joint = " OR ".join(dict.fromkeys(same))
    return f"({joint})" if operator == "=" else f"(NOT ({joint}))"
