"""How large a value is when every reference is followed: what is seen in a billion places costs whoever looks at it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from interbert.regions.importers.pickled_values import Call, PickledArray, PickledDtype, UnsafePickleError

MAX_DEPTH = 100
"""Containers inside each other."""
_MAX_BITS = 1024
"""Of a whole number."""
_CONTAINERS = (list, tuple, dict, set, frozenset, PickledArray)


@dataclass(frozen=True)
class _Measured:
    """A value with arrays in place of arrays under construction, and what it is with every reference followed."""

    value: Any
    elements: int
    size: int
    """Bytes of texts and arrays."""
    depth: int


class Unfolding:
    """Measures values, each object once: the work is that of the pickle, not of what it stands for."""

    def __init__(self, most: int, most_bytes: int) -> None:
        self._most, self._most_bytes = most, most_bytes
        self._known: dict[int, _Measured | None] = {}

    def plain(self, value: Any) -> tuple[Any, int]:
        """The value and its elements, when it is within the limits.

        Raises:
            UnsafePickleError: it is not, contains itself, or holds a function.
        """
        made = self._of(value, 0)
        return made.value, made.elements

    def _of(self, value: Any, depth: int) -> _Measured:
        if not isinstance(value, _CONTAINERS):
            return _Measured(value, 1, _size(value), 0)
        if depth > MAX_DEPTH:
            raise UnsafePickleError(f"it is nested more than {MAX_DEPTH} deep")
        if id(value) in self._known:
            known = self._known[id(value)]
            if known is None:
                raise UnsafePickleError("it contains itself")
            return known
        self._known[id(value)] = None
        made = self._container(value, depth + 1)
        if made.depth > MAX_DEPTH:
            raise UnsafePickleError(f"it is nested more than {MAX_DEPTH} deep")
        if made.elements > self._most:
            raise UnsafePickleError(f"it holds more than {self._most:,} elements")
        if made.size > self._most_bytes:
            raise UnsafePickleError(f"it holds more than {self._most_bytes:,} bytes")
        self._known[id(value)] = made
        return made

    def _container(self, value: Any, depth: int) -> _Measured:
        if isinstance(value, PickledArray):
            return self._of(value.value, depth)
        if isinstance(value, set | frozenset):  # of keys alone, so it stays as it is
            return _Measured(value, 1 + len(value), sum(map(_size, value)), 1)
        is_dict = isinstance(value, dict)
        elements, deepest = 1 + (len(value) if is_dict else 0), 0
        size = sum(_size(one) for one in value) if is_dict else 0
        values = []
        for one in value.values() if is_dict else value:
            if isinstance(one, _CONTAINERS):
                part = self._of(one, depth)
                values.append(part.value)
                elements, size, deepest = elements + part.elements, size + part.size, max(deepest, part.depth)
            else:
                values.append(one)
                elements, size = elements + 1, size + _size(one)
        return _Measured(dict(zip(value, values, strict=True)) if is_dict else values, elements, size, deepest + 1)


def _size(value: Any) -> int:
    """Bytes of what is no container.

    Raises:
        UnsafePickleError: it is a function, or an enormous number.
    """
    if isinstance(value, PickledDtype | Call):
        raise UnsafePickleError("it holds code")
    if isinstance(value, int) and value.bit_length() > _MAX_BITS:
        raise UnsafePickleError(f"it holds a whole number of more than {_MAX_BITS:,} bits")
    return len(value) if isinstance(value, str | bytes | bytearray) else getattr(value, "nbytes", 8)
