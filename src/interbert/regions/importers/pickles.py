"""Pickles that hold data and nothing else: arrays, numbers, strings and containers of them.

A pickle is a program that may call any function. Here it can call a few, those of
:mod:`interbert.regions.importers.pickled_values`, none of which does anything but build a value; whatever else it names
is refused by name. A program of some bytes can also build what is seen in a billion places, and do so for hours: its
steps are counted while it runs, and what it built is measured before anyone else sees it.
"""

from __future__ import annotations

import io
import pickle
import struct
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from interbert.regions.importers.fields import MAX_ELEMENTS, MAX_RECORD
from interbert.regions.importers.pickled_values import (
    ALLOWED,
    Call,
    PickledArray,
    PickledDtype,
    Texts,
    UnsafePickleError,
)

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


__all__ = ["UnsafePickleError", "loads"]

_MAX_ARGUMENTS = 8
_FORBIDDEN = (
    *(pickle.PERSID, pickle.BINPERSID, pickle.EXT1, pickle.EXT2, pickle.EXT4, pickle.INST, pickle.OBJ),
    *(pickle.NEXT_BUFFER, pickle.READONLY_BUFFER, pickle.NEWOBJ, pickle.NEWOBJ_EX),
)
"""Operations that name code, or build instances of classes."""


def loads(data: bytes, most: int = MAX_ELEMENTS) -> Any:
    """The value of a pickle: what numpy calls an array is one, a tuple is a list.

    Args:
        data: the pickle.
        most: steps it may take, of which a container takes ten, and elements its value may have, every reference
            followed.

    Raises:
        UnsafePickleError: saying what it names, which limit it passes, or that it is damaged.
    """
    return measured(data, most)[0]


def measured(data: bytes, most: int) -> tuple[Any, int]:
    """As :func:`loads`; also the steps it took or the elements it has, whichever are more."""
    try:
        reader = _Reader(data, most)
        value, elements = Unfolding(most, max(MAX_RECORD, len(data))).plain(reader.load())
        return value, max(elements, most - reader.steps.left)
    except UnsafePickleError:
        raise
    except Exception as error:  # a damaged pickle raises whatever its operations happen to raise
        raise UnsafePickleError(f"it is damaged ({type(error).__name__})") from error


def _bytearray(reader: Any) -> None:
    """Read a bytearray without first making one of the length that the pickle claims."""
    (length,) = struct.unpack("<Q", reader.read(8))
    reader.append(bytearray(reader.read(min(length, sys.maxsize))))


def _build(reader: Any) -> None:
    state = reader.stack.pop()
    if not isinstance(reader.stack[-1], PickledArray | PickledDtype | Call):
        raise UnsafePickleError(f"it sets the state of a {type(reader.stack[-1]).__name__}")
    reader.stack[-1].__setstate__(state)


def _reduce(reader: Any) -> None:
    arguments, function = reader.stack.pop(), reader.stack[-1]
    if not isinstance(function, Call) or not isinstance(arguments, tuple) or len(arguments) > _MAX_ARGUMENTS:
        raise UnsafePickleError("it calls what is no function, or with more arguments than any takes")
    reader.steps.spend(sum(len(one) for one in arguments if isinstance(one, list | tuple)))
    reader.stack[-1] = function(*arguments)


def _append(reader: Any) -> None:
    _of_kind(reader.stack[-2], list).append(reader.stack.pop())


def _appends(reader: Any) -> None:
    items = reader.pop_mark()
    _of_kind(reader.stack[-1], list).extend(items)


def _set_item(reader: Any) -> None:
    value, key = reader.stack.pop(), reader.stack.pop()
    _of_kind(reader.stack[-1], dict)[reader.texts.key(key)] = value


def _set_items(reader: Any) -> None:
    items = reader.pop_mark()
    target = _of_kind(reader.stack[-1], dict)
    for key, value in zip(items[::2], items[1::2], strict=True):
        target[reader.texts.key(key)] = value


def _dictionary(reader: Any) -> None:
    items = reader.pop_mark()
    reader.append({reader.texts.key(key): value for key, value in zip(items[::2], items[1::2], strict=True)})


def _add_items(reader: Any) -> None:
    items = reader.pop_mark()
    _of_kind(reader.stack[-1], set).update(map(reader.texts.key, items))


def _frozen_set(reader: Any) -> None:
    items = reader.pop_mark()  # it changes where the reader appends
    reader.append(frozenset(map(reader.texts.key, items)))


def _of_kind(value: Any, kind: type) -> Any:
    if not isinstance(value, kind):
        raise UnsafePickleError(f"it treats a {type(value).__name__} as a {kind.__name__}")
    return value


_OPERATIONS: dict[int, Callable[[Any], None]] = {
    code: operation for code, operation in pickle._Unpickler.dispatch.items() if bytes([code]) not in _FORBIDDEN
} | {
    code[0]: operation
    for code, operation in (
        (pickle.BYTEARRAY8, _bytearray),
        (pickle.BUILD, _build),
        (pickle.REDUCE, _reduce),
        (pickle.APPEND, _append),
        (pickle.APPENDS, _appends),
        (pickle.SETITEM, _set_item),
        (pickle.SETITEMS, _set_items),
        (pickle.DICT, _dictionary),
        (pickle.ADDITEMS, _add_items),
        (pickle.FROZENSET, _frozen_set),
    )
}


_CONTAINER_STEPS = 10
_STEPS = {
    code[0]: _CONTAINER_STEPS
    for code in (
        *(pickle.EMPTY_LIST, pickle.LIST, pickle.EMPTY_DICT, pickle.DICT, pickle.EMPTY_SET, pickle.FROZENSET),
        *(pickle.TUPLE, pickle.TUPLE1, pickle.TUPLE2, pickle.TUPLE3, pickle.BYTEARRAY8),
    )
}
"""Operations that count for more than one step: a container takes up to 440 bytes here, a number or a short text 70."""


class _Steps(dict[int, Callable[[Any], None]]):
    """The operations by code, which are counted as they are looked up."""

    def __init__(self, operations: dict[int, Callable[[Any], None]], most: int) -> None:
        super().__init__(operations)
        self._most = most
        self.left = most
        """Steps that it may still take."""

    def __getitem__(self, code: int) -> Callable[[Any], None]:
        self.spend(_STEPS.get(code, 1))
        return super().__getitem__(code)

    def spend(self, steps: int) -> None:
        """Count steps.

        Raises:
            UnsafePickleError: they are more than are left.
        """
        self.left -= steps
        if self.left < 0:
            raise UnsafePickleError(f"it takes more than {self._most:,} steps")


# the reader in C allocates what a pickle claims to need; the one in Python holds what is there
class _Reader(pickle._Unpickler):
    def __init__(self, data: bytes, most: int) -> None:
        super().__init__(io.BytesIO(data), encoding="latin1")
        self.dispatch = self.steps = _Steps(_OPERATIONS, most)  # type: ignore[misc]
        self.texts = Texts()

    def find_class(self, module: str, name: str) -> Any:
        allowed = ALLOWED.get((module, name)) if isinstance(module, str) and isinstance(name, str) else None
        if allowed is None:
            raise UnsafePickleError(f"it names {str(module)[:60]}.{str(name)[:60]}, which is no data; nothing was run")
        return Call(partial(allowed, self.texts))
