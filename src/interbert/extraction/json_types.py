"""The Arrow type of a JSON column by all of its values, and its values in that type: nothing is guessed from a text.

``datasets`` (and pyarrow's and pandas' readers below it) take texts that look like dates for timestamps, and texts of a
column that also holds numbers for numbers, so that ``"000116"`` becomes 116. Here a text stays what it is: a column
that mixes texts with anything else holds texts, numbers among them as they are written.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from typing import Any

_TEXT, _BOOLEAN, _INTEGER, _LONG, _NUMBER, _LIST, _OBJECT, _KEPT = (1 << bit for bit in range(8))
# _LONG: not exact as a float; _KEPT: what no Arrow type holds, kept as JSON text
_EXACT = 1 << 53
"""Integers up to here are exact as floats."""
_MOST = 1 << 63
_DEEPEST = 20
"""Levels of lists and objects; what lies deeper is kept as JSON text. Arrow's files end at 64."""


class WrittenNumber(float):
    """A number with a fraction or exponent that still knows how it was written."""

    __slots__ = ("text",)
    text: str

    def __new__(cls, text: str) -> WrittenNumber:
        """Parse it."""
        number = super().__new__(cls, text)
        number.text = text
        return number


def json_decoder() -> json.JSONDecoder:
    """A decoder whose numbers remember how they were written."""
    return json.JSONDecoder(parse_float=WrittenNumber)


class Names:
    """How many more names the objects of a file may have, all of them together."""

    def __init__(self, left: int) -> None:
        self.left = left

    def take(self) -> bool:
        """One more; whether there was one."""
        self.left -= 1
        return self.left >= 0


class JsonColumn:
    """What the values of a column are, seen one by one.

    Objects in which a file has more names than are read are kept as JSON text: their names are values.

    Args:
        names: that the objects of the file may still have.
        depth: levels above this one.
    """

    __slots__ = ("_depth", "_fields", "_item", "_kinds", "_names")

    def __init__(self, names: Names, depth: int = 0) -> None:
        self._names = names
        self._kinds = 0
        self._depth = depth
        self._item: JsonColumn | None = None
        self._fields: dict[str, JsonColumn] = {}

    def see(self, value: Any) -> None:
        """Take note of a value, as :func:`json_decoder` gives it."""
        kind = type(value)
        if kind is str:
            self._kinds |= _TEXT
        elif value is None:
            pass
        elif kind is int:
            self._kinds |= _INTEGER if -_EXACT <= value <= _EXACT else _LONG if -_MOST <= value < _MOST else _KEPT
        elif kind is bool:
            self._kinds |= _BOOLEAN
        elif kind in (list, dict) and (self._depth >= _DEEPEST or self._kinds & _KEPT):
            self._kinds |= _KEPT
        elif kind is list:
            self._kinds |= _LIST
            self._item = self._item or JsonColumn(self._names, self._depth + 1)
            for one in value:
                self._item.see(one)
        elif kind is dict:
            self._kinds |= _OBJECT
            for name, one in value.items():
                if name not in self._fields:
                    if not self._names.take():
                        self._kinds |= _KEPT
                        self._fields.clear()
                        break
                    self._fields[name] = JsonColumn(self._names, self._depth + 1)
                self._fields[name].see(one)
        else:
            self._kinds |= _NUMBER

    def close(self) -> None:
        """After the last value: a column of lists and single values is one of lists."""
        single = self._kinds & ~_LIST
        if self._item is not None:
            if single and not single & _OBJECT:
                self._item._kinds |= single
            self._item.close()
        for one in self._fields.values():
            one.close()

    def arrow_type(self) -> Any:
        """The type that holds every value."""
        import pyarrow as pa

        kinds = self._kinds
        if not kinds:
            return pa.null()
        if self._holds_lists and self._item is not None:
            return pa.list_(self._item.arrow_type())
        if kinds == _OBJECT:
            return pa.struct([(name, one.arrow_type()) for name, one in self._fields.items()])
        if kinds == _BOOLEAN:
            return pa.bool_()
        if not kinds & ~(_INTEGER | _LONG):
            return pa.int64()
        return pa.float64() if not kinds & ~(_INTEGER | _NUMBER) else pa.string()

    def converter(self) -> Callable[[Any], Any] | None:
        """What makes a value one of :meth:`arrow_type`; None where Arrow does it alone."""
        kinds = self._kinds
        if self._holds_lists and self._item is not None:
            return _list_converter(self._item.converter(), bool(kinds & ~_LIST))
        if kinds == _OBJECT:
            ways = {name: way for name, one in self._fields.items() if (way := one.converter()) is not None}
            return _object_converter(ways) if ways else None
        plain = not kinds & ~(_INTEGER | _LONG) or not kinds & ~(_INTEGER | _NUMBER)
        return None if plain or kinds in (_TEXT, _BOOLEAN) else as_written

    @property
    def _holds_lists(self) -> bool:
        return bool(self._kinds & _LIST) and not self._kinds & _OBJECT


def characters(value: Any) -> int:
    """About how many characters a value has, so that as many as fit are held at a time."""
    if isinstance(value, str):
        return len(value)
    if isinstance(value, list):
        return 8 + sum(map(characters, value))
    return 8 + (sum(map(characters, value.values())) if isinstance(value, dict) else 0)


def as_written(value: Any) -> str | None:
    """A value as the text that stands in the file; None for null and NaN."""
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, WrittenNumber):
        return value.text
    if isinstance(value, float) and math.isnan(value):
        return None
    return json.dumps(value, ensure_ascii=False)


def _list_converter(item: Callable[[Any], Any] | None, singles: bool) -> Callable[[Any], Any] | None:
    if item is None and not singles:
        return None

    def convert(value: Any) -> Any:
        if value is None:
            return None
        members = value if isinstance(value, list) else [value]
        return members if item is None else [item(one) for one in members]

    return convert


def _object_converter(ways: dict[str, Callable[[Any], Any]]) -> Callable[[Any], Any]:
    def convert(value: Any) -> Any:
        return None if value is None else value | {name: way(value.get(name)) for name, way in ways.items()}

    return convert
