"""``.npy`` and ``.npz`` files, without running anything in them and without allocating what they only claim to hold."""

from __future__ import annotations

import io
import lzma
import math
import os
import struct
import tokenize
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import IO, Any

import numpy as np

from interbert.errors import RegionError, SourceError, first_line
from interbert.regions.importers.fields import RecordSize, text_of
from interbert.regions.importers.named import NamedSource
from interbert.regions.importers.pickles import UnsafePickleError, measured
from interbert.regions.importers.rows import ForeignRow
from interbert.regions.importers.sizes import SizeIndex

_MAX_MEMBERS = 50
_MAX_DIRECTORY = 1 << 16
"""Bytes of a ``.npz`` file's list of members; 50 take some 5,000."""
_WRITTEN = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
"""How numpy packs members. Python unpacks the other kinds without a bound: 4 kB of bzip2 may be gigabytes."""
_DAMAGE = (
    *(ValueError, SyntaxError, TypeError, EOFError, OSError, KeyError, IndexError, OverflowError, MemoryError),
    *(RecursionError, NotImplementedError, RuntimeError),
    *(struct.error, tokenize.TokenError, zlib.error, lzma.LZMAError, zipfile.BadZipFile),
)


def read_npy(path: Path, where: str, size: RecordSize) -> Any:
    """The array of a ``.npy`` file, or the value of a pickled one.

    Args:
        path: of the file.
        where: what to call it in messages.
        size: of the record; the array is counted.

    Raises:
        RegionError: it is no regular file, is damaged, larger than the record may be, or its pickle holds more than
            data.
    """
    _require_file(path, where)
    try:
        with path.open("rb") as stream:
            return _array(stream, where, size)
    except _DAMAGE as error:
        raise _damaged(where, error) from error


def read_npz(path: Path, where: str) -> Mapping[str, Any]:
    """The arrays of a ``.npz`` file by name.

    Raises:
        RegionError: as :func:`read_npy`; all its arrays together have more than 64 MiB.
    """
    _require_file(path, where)
    try:
        with path.open("rb") as file:
            _require_short_directory(file, where)
            with zipfile.ZipFile(file) as archive:
                members = [one for one in archive.infolist() if one.filename.endswith(".npy")]
                if len(members) > _MAX_MEMBERS:
                    raise RegionError(f"{where}: holds {len(members)} arrays; at most {_MAX_MEMBERS} are read.")
                _require_small(members, where)
                arrays, size = {}, RecordSize(where)
                for member in members:
                    with archive.open(member) as stream:
                        arrays[member.filename.removesuffix(".npy")] = _array(stream, where, size)
                return arrays
    except _DAMAGE as error:
        raise _damaged(where, error) from error


def _require_file(path: Path, where: str) -> None:
    if not path.is_file():  # a pipe would wait for ever for its writer
        raise RegionError(f"{where}: is no regular file that is there.")


def _require_short_directory(file: IO[bytes], where: str) -> None:
    """Refuse an archive whose list of members is long before ``zipfile`` reads it whole.

    The end record is found as ``zipfile`` finds it.
    """
    length = file.seek(0, io.SEEK_END)
    file.seek(max(length - (1 << 16) - 22, 0))
    tail = file.read()
    plain = tail[-22:-18] == b"PK\x05\x06" and tail[-2:] == b"\0\0"
    at = len(tail) - 22 if plain else tail.rfind(b"PK\x05\x06")
    if at < 0 or len(tail) - at < 22:
        return  # no archive: zipfile says so
    (size,) = struct.unpack_from("<I", tail, at + 12)
    if size > _MAX_DIRECTORY or tail[max(at - 20, 0) : at - 16] == b"PK\x06\x07":  # the latter: it stands elsewhere
        raise RegionError(f"{where}: its list of arrays is too long; at most {_MAX_DIRECTORY:,} bytes are read.")


def _require_small(members: list[zipfile.ZipInfo], where: str) -> None:
    """Check what members say of themselves before one is unpacked; no more than that is unpacked."""
    packed = next((one for one in members if one.compress_type not in _WRITTEN), None)
    if packed is not None:
        raise RegionError(
            f"{where}: {packed.filename[:60]} is packed in another way than numpy does. Write it with savez_compressed."
        )
    RecordSize(where).take(sum(one.file_size for one in members), "arrays")


def _damaged(where: str, error: BaseException) -> RegionError:
    if isinstance(error, RegionError):
        return error
    reason = first_line(error, 120)
    return RegionError(f"{where}: is no whole numpy file ({reason}).")


def _array(stream: IO[bytes], where: str, size: RecordSize) -> Any:
    head = io.BytesIO(stream.read(10))
    major, _ = np.lib.format.read_magic(head)
    if major not in (1, 2, 3):
        raise ValueError(f"version {major}")
    length = head.read(2) if major == 1 else head.read(2) + stream.read(2)
    header = int.from_bytes(length, "little")
    if header > 10_000:
        raise ValueError(f"a header of {header:,} bytes")
    text = io.BytesIO(length + stream.read(header))
    read_header = np.lib.format.read_array_header_1_0 if major == 1 else np.lib.format.read_array_header_2_0
    shape, fortran, dtype = read_header(text)
    if dtype.hasobject:
        pickled = stream.read(size.left + 1)
        size.take(len(pickled), "a pickle")
        try:
            value, used = measured(pickled, size.elements_left)
        except UnsafePickleError as error:
            raise RegionError(f"{where}: its pickle is refused: {error}.") from error
        size.elements_left -= used
        return value
    if dtype.kind not in "fiubSU" or any(side < 0 for side in shape) or len(shape) > 8:
        raise ValueError(f"an array of {dtype}")
    needed = math.prod(shape) * dtype.itemsize
    size.take(needed)
    raw = stream.read(needed)
    if len(raw) != needed:
        raise ValueError(f"{len(raw):,} bytes of {needed:,}")
    return np.frombuffer(raw, dtype=dtype).reshape(shape, order="F" if fortran else "C")


_INFO = "_info.npy"


class NpyFolder(NamedSource):
    """A folder, with folders in it.

    Args:
        source: folder.
        feature_size: floats of a region; None takes the files'.
        num_classes: classes with background, where files have object ids alone.
        sizes: images' sizes, where files have none.

    Raises:
        SourceError: it is no folder, holds no such files, or none of the first can be read.
    """

    unit = "files"

    def __init__(
        self,
        source: str,
        feature_size: int | None = None,
        num_classes: int | None = None,
        sizes: SizeIndex | None = None,
    ) -> None:
        self.name = source
        self._folder = Path(source).expanduser()
        if not self._folder.is_dir():
            raise SourceError(f"{source}: there is no such folder.")
        self.total = sum(1 for _ in self._files())
        if not self.total:
            raise SourceError(f"{source}: the folder holds no .npz and no .npy files.")
        self.settle(feature_size, num_classes, sizes)

    def _files(self) -> Iterator[Path]:
        """Every image's file, in the order of names; a folder's names are in memory, not the tree's."""
        for folder, folders, names in os.walk(self._folder):
            folders.sort()
            for name in sorted(names):
                if name.lower().endswith((".npz", ".npy")) and not name.endswith(_INFO):
                    yield Path(folder, name)

    def records(self) -> Iterator[tuple[ForeignRow | None, str, str, Callable[[], Mapping[str, Any]]]]:
        """Every record in order."""
        for file in self._files():
            where = str(file)
            try:
                name = text_of(file.relative_to(self._folder).with_suffix("").as_posix(), "its name", where)
            except RegionError:
                name = ""
            yield None, where, name, lambda file=file, name=name: _fields(file, name)  # type: ignore[misc]


def _fields(file: Path, name: str) -> Mapping[str, Any]:
    where = str(file)
    if not name:
        raise RegionError(f"{where!r}: its name is no text.")
    if file.suffix.lower() == ".npz":
        arrays = dict(read_npz(file, where))
        info = arrays.get("info")
        return {**_named(info), **arrays} if isinstance(info, dict) else arrays
    size = RecordSize(where)
    value = read_npy(file, where, size)
    if isinstance(value, dict):
        return _named(value)
    if not isinstance(value, np.ndarray):
        raise RegionError(f"{where}: holds a {type(value).__name__}, not an array or named arrays.")
    beside = file.with_name(file.stem + _INFO)
    if not beside.is_file():
        raise RegionError(f"{where}: has no boxes: {beside.name} is not beside it.")
    info = read_npy(beside, str(beside), size)
    if not isinstance(info, dict):
        raise RegionError(f"{beside}: holds a {type(info).__name__}, not a dictionary.")
    return {**_named(info), "features": value}


def _named(value: Mapping[Any, Any]) -> dict[str, Any]:
    return {str(key): one for key, one in value.items()}
