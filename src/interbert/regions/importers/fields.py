"""Fields of foreign records: numbers and arrays out of text, base64 and bytes, never larger than they may be."""

from __future__ import annotations

import binascii
import math
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from interbert.errors import RegionError, SourceError
from interbert.regions.importers.rows import MAX_REGIONS
from interbert.utils.bounded_files import json_value, read_small_text

MAX_RECORD = 1 << 26
"""Bytes of one record, all its arrays and texts together; 100 regions with classes and attributes take 2 MB."""
MAX_ELEMENTS = 1_000_000
"""Values of one record where each is an object of its own (a pickle, JSON); a million take about 100 MB."""
_MAX_DIGITS = 12


class RecordSize:
    """Bytes of one record's arrays and texts, counted before each is read.

    Args:
        where: the record, for messages.
        limit: bytes that all of them may have.
    """

    def __init__(self, where: str, limit: int = MAX_RECORD) -> None:
        self._where, self._limit = where, limit
        self.left = limit
        """Bytes that the rest of the record may have."""
        self.elements_left = MAX_ELEMENTS
        """Elements that the rest of the record's pickles may have, and steps they may take."""

    def take(self, size: int, what: str = "an array") -> None:
        """Count one that is about to be read.

        Raises:
            RegionError: the record has more than its limit with it.
        """
        if size > self.left:
            raise RegionError(
                f"{self._where}: {what} of {size:,} bytes; at most {self._limit:,} are read, of all that an image has."
            )
        self.left -= size


def whole_number(value: Any, name: str, where: str) -> int:
    """An integer from text, bytes or any number type.

    Raises:
        RegionError: it is none.
    """
    if isinstance(value, np.ndarray) and value.size == 1:
        value = value.reshape(())[()]
    try:
        if isinstance(value, bytes | str):
            text = value.decode("ascii") if isinstance(value, bytes) else value
            if len(text) > _MAX_DIGITS + 8:
                raise ValueError
            value = float(text)
        number = float(value)
        if not math.isfinite(number) or number != int(number):
            raise ValueError
    except (ValueError, TypeError, OverflowError):
        raise RegionError(f"{where}: {name} is {_short(value)}, not a whole number.") from None
    return int(number)


def region_count(value: Any, where: str) -> int:
    """The number of regions.

    Raises:
        RegionError: it is no number between 1 and 1,000.
    """
    count = whole_number(value, "the number of boxes", where)
    if not 1 <= count <= MAX_REGIONS:
        raise RegionError(f"{where}: has {count} boxes; 1 to {MAX_REGIONS} are read.")
    return count


def text_of(value: Any, name: str, where: str) -> str:
    """A short text from text, bytes or a number; a whole number is written without a decimal point.

    Raises:
        RegionError: there is none, it is no text in UTF-8, is empty, or has more than 1,000 characters.
    """
    if isinstance(value, np.ndarray) and value.size == 1:
        value = value.reshape(())[()]
    if value is None or isinstance(value, np.ndarray | list | tuple | dict) or value != value:  # the last: NaN
        raise RegionError(f"{where}: {name} is missing, or is no text or number.")
    if isinstance(value, float | np.floating) and float(value).is_integer():
        value = int(value)
    try:
        text = value.decode("utf-8") if isinstance(value, bytes) else str(value)
    except UnicodeDecodeError:
        raise RegionError(f"{where}: {name} is no text in UTF-8.") from None
    text = text.strip()
    if not text or len(text) > 1000 or any(sign < " " or "\ud800" <= sign <= "\udfff" for sign in text):
        raise RegionError(f"{where}: {name} is {_short(text)}; a text of 1 to 1,000 characters on one line is needed.")
    return text


def from_base64(value: Any, name: str, where: str, urlsafe: bool = False) -> bytes:
    """Bytes out of base64.

    Files written by Python 3 sometimes hold the letters ``b'...'`` around it; they are taken off.

    Args:
        value: text or bytes.
        name: of the field, for messages.
        where: the record, for messages.
        urlsafe: ``-`` and ``_`` instead of ``+`` and ``/``, and the padding may be missing.

    Raises:
        RegionError: it is no base64, or longer than 64 MiB.
    """
    if not isinstance(value, bytes | bytearray | memoryview | str):
        raise RegionError(f"{where}: {name} is a {type(value).__name__}, not base64.")
    raw = value.encode("utf-8", "replace") if isinstance(value, str) else bytes(value)
    if len(raw) > MAX_RECORD:
        raise RegionError(f"{where}: {name} has {len(raw):,} bytes; at most {MAX_RECORD:,} are read.")
    if raw[:2] in (b"b'", b'b"') and raw[-1:] == raw[1:2]:
        raw = raw[2:-1]
    if urlsafe:
        raw = raw.strip().translate(bytes.maketrans(b"-_", b"+/"))
        raw += b"=" * (-len(raw) % 4)
    try:
        return binascii.a2b_base64(raw, strict_mode=True)
    except binascii.Error as error:
        raise RegionError(f"{where}: {name} is no base64 ({str(error).lower()}).") from None


def json_from(raw: bytes, where: str) -> Any:
    """The value of a record's JSON.

    Raises:
        RegionError: it is no JSON, or has more than a million elements.
    """
    elements = sum(raw.count(sign) for sign in b",[{")
    if elements > MAX_ELEMENTS:
        raise RegionError(f"{where}: its JSON has {elements:,} elements; at most {MAX_ELEMENTS:,} are read.")
    try:
        return json_value(raw)
    except ValueError:
        raise RegionError(f"{where}: is no id and JSON.") from None


def array_from(raw: bytes, dtype: DTypeLike, rows: int, columns: int | None, name: str, where: str) -> NDArray[Any]:
    """[rows, columns] from plain bytes; ``columns`` None means as many as there are, 0 a flat array [rows].

    Raises:
        RegionError: the length does not fit.
    """
    kind = np.dtype(dtype)
    width = kind.itemsize * rows * max(columns or 1, 1)
    fits = len(raw) > 0 and (len(raw) == width if columns is not None else len(raw) % width == 0)
    if not fits:
        wanted = f"{width:,}" if columns is not None else f"a multiple of {width:,}"
        raise RegionError(f"{where}: {name} has {len(raw):,} bytes; {rows} regions need {wanted}.")
    values = np.frombuffer(raw, dtype=kind)
    return values if columns == 0 else values.reshape(rows, -1)


def small_text(file: Path) -> str:
    """The text of a small file beside the regions: names of classes, answers.

    Raises:
        SourceError: it is no regular file, or larger than 64 MiB.
        OSError: it is not there, or cannot be read.
        UnicodeDecodeError: it is no UTF-8.
    """
    if file.exists() and not file.is_file():
        raise SourceError(f"{file}: is no regular file.")
    try:
        return read_small_text(file, MAX_RECORD)
    except UnicodeDecodeError:
        raise
    except ValueError as error:
        raise SourceError(f"{file}: is larger than {MAX_RECORD:,} bytes; is it another file?") from error


def array_field(value: Any, dtype: DTypeLike, rows: int, columns: int | None, name: str, where: str) -> NDArray[Any]:
    """[rows, columns] from base64 of an array; ``columns`` as in :func:`array_from`.

    Raises:
        RegionError: it is no base64, or its size does not fit.
    """
    return array_from(from_base64(value, name, where), dtype, rows, columns, name, where)


def _short(value: Any) -> str:
    text = " ".join(repr(value).split())
    return text if len(text) <= 60 else f"{text[:57]}..."
