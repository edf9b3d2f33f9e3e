"""Pickles that hold data and nothing else: arrays, numbers, strings and containers of them.

A pickle is a program that may call any function. Here it can call a few, all of this file, none of which does
anything but build a value no larger than the pickle itself; whatever else it names is refused by name.
"""

from __future__ import annotations

import io
import math
import pickle
import struct
import sys
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

import numpy as np

_KINDS = frozenset("fiub")
_FORBIDDEN = (
    *(pickle.PERSID, pickle.BINPERSID, pickle.EXT1, pickle.EXT2, pickle.EXT4, pickle.INST, pickle.OBJ),
    *(pickle.NEXT_BUFFER, pickle.READONLY_BUFFER, pickle.NEWOBJ, pickle.NEWOBJ_EX),
)
"""Operations that name code, or build instances of classes."""


class UnsafePickleError(ValueError):
    """It names something that is no data, or it is no pickle."""


def loads(data: bytes) -> Any:
    """The value of a pickle.

    Raises:
        UnsafePickleError: saying what it names, or that it is damaged.
    """
    reader = _Reader(io.BytesIO(data), encoding="latin1")
    try:
        return _finished(reader.load())
    except UnsafePickleError:
        raise
    except Exception as error:  # a damaged pickle raises whatever its operations happen to raise
        raise UnsafePickleError(f"it is damaged ({type(error).__name__})") from error


class _Call:
    """A function that a pickle may call, and cannot change."""

    __slots__ = ("_function",)

    def __init__(self, function: Callable[..., Any]) -> None:
        self._function = function

    def __call__(self, *arguments: Any) -> Any:
        return self._function(*arguments)

    def __setstate__(self, state: Any) -> None:
        raise UnsafePickleError("it changes a function")


class _Dtype:
    """A dtype under construction."""

    __slots__ = ("kind",)

    def __init__(self, name: Any, *_: Any) -> None:
        self.kind = np.dtype(object)
        if name != "O8" and name != "O":
            if not isinstance(name, str) or len(name) > 4:
                raise UnsafePickleError("it names an unknown type of numbers")
            self.kind = np.dtype(name)
            if self.kind.kind not in _KINDS:
                raise UnsafePickleError(f"it holds an array of {self.kind}")

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        order = state[1] if isinstance(state, tuple) and len(state) > 1 else "="
        if order == ">" and self.kind != np.dtype(object):
            self.kind = self.kind.newbyteorder(">")


class _Array:
    """An array under construction; it never gets more elements than the pickle has bytes for."""

    __slots__ = ("value",)

    def __init__(self, *_: Any) -> None:
        self.value: Any = None

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        _, shape, kind, fortran, content = state
        if not isinstance(kind, _Dtype) or not isinstance(shape, tuple):
            raise UnsafePickleError("it holds an array without a type")
        if isinstance(content, list):
            if not kind.kind.hasobject or len(content) != _elements(shape):
                raise UnsafePickleError("it holds an array whose shape is not its content's")
            self.value = content[0] if len(content) == 1 else content
            return
        self.value = _numbers(_raw(content), kind, shape, "F" if fortran else "C")


def _raw(content: Any) -> bytes:
    if not isinstance(content, bytes | bytearray | str):  # bytes(10**12) would be a terabyte of zeros
        raise UnsafePickleError("it holds an array without content")
    return content.encode("latin1") if isinstance(content, str) else bytes(content)


def _elements(shape: tuple[Any, ...]) -> int:
    if len(shape) > 8 or any(type(side) is not int or not 0 <= side < 1 << 40 for side in shape):
        raise UnsafePickleError("it holds an array of an impossible shape")
    return math.prod(shape)


def _numbers(raw: bytes, kind: _Dtype, shape: tuple[int, ...], order: Any) -> Any:
    if kind.kind.hasobject:
        raise UnsafePickleError("it holds an array of no numbers")
    if _elements(shape) * kind.kind.itemsize != len(raw):
        raise UnsafePickleError("it holds an array whose shape is not its content's")
    return np.frombuffer(raw, dtype=kind.kind).reshape(shape, order=order)


def _scalar(kind: Any, content: Any) -> Any:
    if not isinstance(kind, _Dtype):
        raise UnsafePickleError("it holds a number without a type")
    return _numbers(_raw(content), kind, (), "C")[()]


def _array_of_buffer(content: Any, kind: Any, shape: Any, order: Any) -> Any:
    if not isinstance(kind, _Dtype) or not isinstance(shape, tuple) or order not in ("C", "F"):
        raise UnsafePickleError("it holds an array without a type")
    return _numbers(_raw(content), kind, shape, order)


def _encoded(text: Any, encoding: Any = "latin1") -> bytes:
    """Bytes, as protocol 2 writes them."""
    if not isinstance(text, str) or encoding not in ("latin1", "latin-1"):
        raise UnsafePickleError("it encodes what is no text")
    return text.encode("latin1")


def _no_bytes() -> bytes:
    """Empty bytes, as protocol 2 writes them."""
    return b""


def _ordered(pairs: Any = ()) -> Any:
    return OrderedDict(pairs)


_ALLOWED: dict[tuple[str, str], Callable[..., Any]] = {
    ("numpy", "ndarray"): _Array,
    ("numpy", "dtype"): _Dtype,
    ("_codecs", "encode"): _encoded,
    ("builtins", "bytes"): _no_bytes,
    ("__builtin__", "bytes"): _no_bytes,
    ("collections", "OrderedDict"): _ordered,
    **{
        (f"numpy.{core}.{module}", name): function
        for core in ("core", "_core")
        for module, name, function in (
            ("multiarray", "_reconstruct", _Array),
            ("multiarray", "scalar", _scalar),
            ("numeric", "_frombuffer", _array_of_buffer),
        )
    },
}


def _bytearray(reader: Any) -> None:
    """Read a bytearray without first making one of the length that the pickle claims."""
    (length,) = struct.unpack("<Q", reader.read(8))
    reader.append(bytearray(reader.read(min(length, sys.maxsize))))


# the reader in C allocates what a pickle claims to need; the one in Python holds what is there
class _Reader(pickle._Unpickler):
    dispatch = {
        code: operation for code, operation in pickle._Unpickler.dispatch.items() if bytes([code]) not in _FORBIDDEN
    } | {pickle.BYTEARRAY8[0]: _bytearray}

    def find_class(self, module: str, name: str) -> Any:
        allowed = _ALLOWED.get((module, name))
        if allowed is None:
            raise UnsafePickleError(f"it names {module}.{name}, which is no data; nothing was run")
        return _Call(allowed)


def _finished(value: Any) -> Any:
    """Arrays under construction as arrays, in a value and in the containers that it is made of, two levels deep."""

    def plain(one: Any, depth: int) -> Any:
        if isinstance(one, _Array):
            return plain(one.value, depth)
        if isinstance(one, _Dtype | _Call):
            raise UnsafePickleError("it holds code")
        if depth == 0:
            return one
        if isinstance(one, dict):
            return {key: plain(each, depth - 1) for key, each in one.items()}
        if isinstance(one, list | tuple):
            return [plain(each, depth - 1) for each in one]
        return one

    return plain(value, 3)
