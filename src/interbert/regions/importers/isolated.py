"""The other end of :mod:`isolated_reader`: records of an LMDB or an HDF5 file, whatever state the file is in."""

from __future__ import annotations

import importlib.util
import json
import os
import signal
import struct
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, ClassVar, Literal

import numpy as np

from interbert.errors import MissingExtraError, SourceError
from interbert.regions.importers import isolated_reader
from interbert.regions.importers.fields import MAX_RECORD
from interbert.regions.importers.named import NAMES, NamedSource
from interbert.regions.importers.sizes import SizeIndex

_PACKAGES = {"lmdb": "lmdb", "h5": "h5py"}


@dataclass(frozen=True)
class Record:
    """One record: bytes of an LMDB, or arrays of an HDF5 file."""

    key: str
    """An LMDB's key bytes are read as Latin-1."""
    content: bytes = b""
    arrays: dict[str, Any] = field(default_factory=dict)
    problem: str | None = None
    """Why this record cannot be had."""


class IsolatedFile:
    """A file that another process reads.

    Args:
        kind: which library reads it.
        source: as the user wrote it.
        names: of an HDF5 file, what its arrays are and may be called; others are not read.

    Raises:
        SourceError: it is not there, cannot be opened, or has no such arrays.
        MissingExtraError: the library is not installed.
    """

    def __init__(
        self, kind: Literal["lmdb", "h5"], source: str, names: Mapping[str, Sequence[str]] | None = None
    ) -> None:
        if importlib.util.find_spec(_PACKAGES[kind]) is None:
            raise MissingExtraError.of(_PACKAGES[kind], "import")
        self._kind = kind
        self._names = json.dumps({what: list(called) for what, called in (names or {}).items()})
        self.name = source
        path = Path(source).expanduser()
        if not path.exists():
            raise SourceError(f"{source}: there is no such file.")
        if kind == "lmdb" and path.is_dir() and not (path / "data.mdb").is_file():
            raise SourceError(f"{source}: the folder holds no data.mdb; it is no LMDB.")
        if kind == "h5" and path.is_dir():
            raise SourceError(f"{source}: is a folder, not an HDF5 file.")
        if not path.is_dir() and not path.is_file():
            raise SourceError(f"{source}: is no regular file.")
        self._path = str(path)
        self.total = 0
        for _ in self.records(limit=0):
            break

    def records(self, limit: int | None = None) -> Iterator[Record]:
        """Every record in the file's order; an LMDB's list of keys comes first.

        Raises:
            SourceError: the file is damaged; what came before is good.
        """
        command = [sys.executable, "-I", isolated_reader.__file__, self._kind, self._path, str(MAX_RECORD), self._names]
        with subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            stdin=subprocess.DEVNULL,
            env={**os.environ, "OPENBLAS_NUM_THREADS": "1"},  # its threads' buffers count as the reader's memory
        ) as child:
            assert child.stdout is not None
            done = 0
            try:
                while True:
                    header = _header(child.stdout)
                    if header is None:
                        raise self._crashed(child, done)
                    if "error" in header:
                        after = f" after {done} records" if done else ""
                        raise SourceError(
                            f"{self.name}: cannot be read{after} ({header['error']}). Is the file complete?"
                        )
                    if "unfit" in header:
                        raise SourceError(f"{self.name}: {header['unfit']}.")
                    if "end" in header:
                        return
                    if "total" in header:
                        self.total = int(header["total"])
                    else:
                        record = _record(header, child.stdout)
                        if record is None:
                            raise self._crashed(child, done)
                        yield record
                        done += 1
                    if limit is not None and done >= limit:
                        return
            finally:
                child.stdout.close()
                child.kill()

    def _crashed(self, child: subprocess.Popen[bytes], done: int) -> SourceError:
        code = child.wait()
        why = signal.Signals(-code).name if code < 0 else f"exit code {code}"
        return SourceError(
            f"{self.name}: is damaged after {done} records (its reader ended with {why}). Copy or download it again."
        )


def _header(stream: IO[bytes]) -> dict[str, Any] | None:
    length = stream.read(4)
    if len(length) < 4:
        return None
    raw = stream.read(struct.unpack(">I", length)[0])
    try:
        header: dict[str, Any] = json.loads(raw)
    except ValueError:
        return None
    return header


def _record(header: dict[str, Any], stream: IO[bytes]) -> Record | None:
    """The record that a header announces; None where its reader ended in the middle of it."""
    if "problem" in header:
        return Record(header["key"], problem=header["problem"])
    if "bytes" in header:
        content = stream.read(header["bytes"])
        return Record(header["key"], content=content) if len(content) == header["bytes"] else None
    arrays: dict[str, Any] = {}
    for name, kind, shape, length in header["fields"]:
        raw = stream.read(length)
        if len(raw) < length:
            return None
        arrays[name] = raw if kind is None else np.frombuffer(raw, dtype=np.dtype(kind)).reshape(shape)
    return Record(header["key"], arrays=arrays)


class IsolatedSource(NamedSource):
    """A file of named records. A subclass says which library reads it, and how its records look.

    Args:
        source: as the user wrote it.
        feature_size: floats of a region; None takes the file's.
        num_classes: classes with background, where records have object ids.
        sizes: images' sizes, where records have none.

    Raises:
        SourceError: it is no such file, or none of its first records can be read.
        MissingExtraError: the library is not installed.
    """

    kind: ClassVar[Literal["lmdb", "h5"]]

    def __init__(
        self,
        source: str,
        feature_size: int | None = None,
        num_classes: int | None = None,
        sizes: SizeIndex | None = None,
    ) -> None:
        self.name = source
        self._file = IsolatedFile(self.kind, source, NAMES)
        self.total = self._file.total
        self.settle(feature_size, num_classes, sizes)
