"""``.npy`` and ``.npz`` files, without running anything in them and without allocating what they only claim to hold."""

from __future__ import annotations

import io
import lzma
import math
import struct
import tokenize
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

import numpy as np

from interbert.errors import RegionError, first_line
from interbert.regions.importers.fields import MAX_RECORD
from interbert.regions.importers.pickles import UnsafePickleError, loads

_MAX_MEMBERS = 50
_DAMAGE = (
    *(ValueError, SyntaxError, TypeError, EOFError, OSError, KeyError, IndexError, OverflowError, MemoryError),
    *(RecursionError, NotImplementedError, RuntimeError),
    *(struct.error, tokenize.TokenError, zlib.error, lzma.LZMAError, zipfile.BadZipFile),
)


def read_npy(path: Path, where: str) -> Any:
    """The array of a ``.npy`` file, or the value of a pickled one.

    Raises:
        RegionError: it is damaged, larger than 64 MiB, or its pickle holds more than data.
    """
    try:
        with path.open("rb") as stream:
            return _array(stream, where)
    except _DAMAGE as error:
        raise _damaged(where, error) from error


def read_npz(path: Path, where: str) -> Mapping[str, Any]:
    """The arrays of a ``.npz`` file by name.

    Raises:
        RegionError: as :func:`read_npy`.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            members = [one for one in archive.infolist() if one.filename.endswith(".npy")]
            if len(members) > _MAX_MEMBERS:
                raise RegionError(f"{where}: holds {len(members)} arrays; at most {_MAX_MEMBERS} are read.")
            arrays = {}
            for member in members:
                with archive.open(member) as stream:
                    arrays[member.filename.removesuffix(".npy")] = _array(stream, where)
            return arrays
    except _DAMAGE as error:
        raise _damaged(where, error) from error


def _damaged(where: str, error: BaseException) -> RegionError:
    if isinstance(error, RegionError):
        return error
    reason = first_line(error, 120)
    return RegionError(f"{where}: is no whole numpy file ({reason}).")


def _array(stream: IO[bytes], where: str) -> Any:
    head = io.BytesIO(stream.read(10))
    major, _ = np.lib.format.read_magic(head)
    if major not in (1, 2, 3):
        raise ValueError(f"version {major}")
    length = head.read(2) if major == 1 else head.read(2) + stream.read(2)
    size = int.from_bytes(length, "little")
    if size > 10_000:
        raise ValueError(f"a header of {size:,} bytes")
    text = io.BytesIO(length + stream.read(size))
    read_header = np.lib.format.read_array_header_1_0 if major == 1 else np.lib.format.read_array_header_2_0
    shape, fortran, dtype = read_header(text)
    if dtype.hasobject:
        try:
            return loads(stream.read(MAX_RECORD))
        except UnsafePickleError as error:
            raise RegionError(f"{where}: its pickle is refused: {error}.") from error
    if dtype.kind not in "fiubSU" or any(side < 0 for side in shape) or len(shape) > 8:
        raise ValueError(f"an array of {dtype}")
    needed = math.prod(shape) * dtype.itemsize
    if needed > MAX_RECORD:
        raise RegionError(f"{where}: an array of {needed:,} bytes; at most {MAX_RECORD:,} are read.")
    raw = stream.read(needed)
    if len(raw) != needed:
        raise ValueError(f"{len(raw):,} bytes of {needed:,}")
    return np.frombuffer(raw, dtype=dtype).reshape(shape, order="F" if fortran else "C")
