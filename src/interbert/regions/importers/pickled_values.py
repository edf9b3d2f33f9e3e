"""What a pickle may name, and what stands for it while it is read: builders of arrays, numbers and dictionaries.

None of them makes more bytes than the pickle holds, however often it is called: see :class:`Texts`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

MAX_KEY = 1000
"""Characters of a dictionary's key."""
_MAX_PARTS = 8
_MAX_TUPLES = 1000
"""Keys of a pickle that are tuples with numbers."""
_KEPT = 256
"""Bytes from which the bytes of a text are kept."""
_KINDS = frozenset("fiub")


class UnsafePickleError(ValueError):
    """It names something that is no data, or it is no pickle."""


class Texts:
    """Bytes of the texts (or bytearrays) of one pickle, each made once however often it is asked for; and its keys."""

    def __init__(self) -> None:
        self._made: dict[int, tuple[Any, bytes]] = {}
        self._tuples = 0

    def key(self, value: Any) -> Any:
        """A key or member that is found at once: a container is hashed through all its references each time.

        Of tuples with numbers, as of numbers wider than 64 bits, any amount can be made whose hashes are equal, so that
        each is compared with all others; texts' hashes are random.

        Raises:
            UnsafePickleError: it is another, or there are too many tuples.
        """
        if isinstance(value, tuple) and len(value) <= _MAX_PARTS:
            self._tuples += 1
            if self._tuples > _MAX_TUPLES and not all(isinstance(one, str | bytes) for one in value):
                raise UnsafePickleError(f"it has more than {_MAX_TUPLES:,} keys that are tuples with numbers")
            if all(map(_is_key, value)):
                return value
        elif _is_key(value):
            return value
        raise UnsafePickleError(
            f"it has a key that is neither a number nor a text of at most {MAX_KEY:,} characters, but a "
            f"{type(value).__name__}"
        )

    def bytes_of(self, content: Any) -> bytes:
        """Latin-1 bytes of a text, bytes as they are.

        Raises:
            UnsafePickleError: it is neither: ``bytes(10**12)`` would be a terabyte of zeros.
        """
        if isinstance(content, bytes):
            return content
        if not isinstance(content, str | bytearray):
            raise UnsafePickleError("it holds an array without content")
        known = self._made.get(id(content))
        if known is not None:
            return known[1]
        made = content.encode("latin1") if isinstance(content, str) else bytes(content)
        if len(made) >= _KEPT:
            self._made[id(content)] = content, made  # with the text: an id is another's once its object is gone
        return made


class Call:
    """A function that a pickle may call, and cannot change."""

    __slots__ = ("_function",)

    def __init__(self, function: Callable[..., Any]) -> None:
        self._function = function

    def __call__(self, *arguments: Any) -> Any:
        """What the function gives."""
        return self._function(*arguments)

    def __setstate__(self, state: Any) -> None:
        raise UnsafePickleError("it changes a function")


class PickledDtype:
    """A dtype under construction."""

    __slots__ = ("kind",)

    def __init__(self, texts: Texts, name: Any, *_: Any) -> None:
        if not isinstance(name, str) or len(name) > 4:
            raise UnsafePickleError("it names an unknown type of numbers")
        self.kind = np.dtype(object)
        if name != "O8" and name != "O":
            self.kind = np.dtype(name)
            if self.kind.kind not in _KINDS:
                raise UnsafePickleError(f"it holds an array of {self.kind}")

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        order = state[1] if isinstance(state, tuple) and len(state) > 1 else "="
        if isinstance(order, str) and order == ">" and self.kind != np.dtype(object):
            self.kind = self.kind.newbyteorder(">")


class PickledArray:
    """An array under construction: a view of bytes that the pickle holds, so never larger than they are."""

    __slots__ = ("_texts", "value")

    def __init__(self, texts: Texts, *_: Any) -> None:
        self.value: Any = None
        self._texts = texts

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        if not isinstance(state, tuple) or len(state) != 5:
            raise UnsafePickleError("it holds an array without content")
        _, shape, kind, fortran, content = state
        if not isinstance(kind, PickledDtype) or not isinstance(shape, tuple):
            raise UnsafePickleError("it holds an array without a type")
        if isinstance(content, list):
            if not kind.kind.hasobject or len(content) != _elements(shape):
                raise UnsafePickleError("it holds an array whose shape is not its content's")
            self.value = content[0] if len(content) == 1 else content
            return
        self.value = _numbers(self._texts.bytes_of(content), kind, shape, "F" if fortran else "C")


def _elements(shape: tuple[Any, ...]) -> int:
    if len(shape) > 8 or any(type(side) is not int or not 0 <= side < 1 << 40 for side in shape):
        raise UnsafePickleError("it holds an array of an impossible shape")
    return math.prod(shape)


def _numbers(raw: bytes, kind: PickledDtype, shape: tuple[int, ...], order: Any) -> Any:
    if kind.kind.hasobject:
        raise UnsafePickleError("it holds an array of no numbers")
    if _elements(shape) * kind.kind.itemsize != len(raw):
        raise UnsafePickleError("it holds an array whose shape is not its content's")
    return np.frombuffer(raw, dtype=kind.kind).reshape(shape, order=order)


def _scalar(texts: Texts, kind: Any, content: Any) -> Any:
    if not isinstance(kind, PickledDtype):
        raise UnsafePickleError("it holds a number without a type")
    return _numbers(texts.bytes_of(content), kind, (), "C")[()]


def _array_of_buffer(texts: Texts, content: Any, kind: Any, shape: Any, order: Any) -> Any:
    known = isinstance(kind, PickledDtype) and isinstance(shape, tuple) and isinstance(order, str)
    if not known or order not in ("C", "F"):
        raise UnsafePickleError("it holds an array without a type")
    return _numbers(texts.bytes_of(content), kind, shape, order)


def _encoded(texts: Texts, text: Any, encoding: Any = "latin1") -> bytes:
    """Bytes, as protocol 2 writes them."""
    if not isinstance(text, str) or not isinstance(encoding, str) or encoding not in ("latin1", "latin-1"):
        raise UnsafePickleError("it encodes what is no text")
    return texts.bytes_of(text)


def _no_bytes(texts: Texts) -> bytes:
    """Empty bytes, as protocol 2 writes them."""
    return b""


def _ordered(texts: Texts, pairs: Any = ()) -> Any:
    """A dictionary; Python 2 writes its pairs as the argument, later ones as operations of their own."""
    lists = (list, tuple)
    if not isinstance(pairs, lists) or not all(isinstance(one, lists) and len(one) == 2 for one in pairs):
        raise UnsafePickleError("it builds a dictionary of what are no pairs")
    return {texts.key(key): value for key, value in pairs}


def _is_key(value: Any) -> bool:
    if isinstance(value, str | bytes):
        return len(value) <= MAX_KEY
    if isinstance(value, int):
        return value.bit_length() <= 64
    return value is None or isinstance(value, float) or (isinstance(value, np.generic) and value.itemsize <= 8)


ALLOWED: dict[tuple[str, str], Callable[..., Any]] = {
    ("numpy", "ndarray"): PickledArray,
    ("numpy", "dtype"): PickledDtype,
    ("_codecs", "encode"): _encoded,
    ("builtins", "bytes"): _no_bytes,
    ("__builtin__", "bytes"): _no_bytes,
    ("collections", "OrderedDict"): _ordered,
    **{
        (f"numpy.{core}.{module}", name): function
        for core in ("core", "_core")
        for module, name, function in (
            ("multiarray", "_reconstruct", PickledArray),
            ("multiarray", "scalar", _scalar),
            ("numeric", "_frombuffer", _array_of_buffer),
        )
    },
}
