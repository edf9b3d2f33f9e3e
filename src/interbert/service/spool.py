"""Lines of writes on the disk until they are applied: a file a task, there as a whole before it is acknowledged."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self

from interbert.errors import BusyError, StorageError, writing
from interbert.service.errors import ServiceError
from interbert.utils.files import only_writer

MAX_LINE = 96 << 20
"""Bytes of a line: an image of 64 MiB as base64, and its texts."""
_PART, _WHOLE = ".part", ".ndjson"


@contextmanager
def only_service(folder: Path) -> Iterator[None]:
    """While the block runs no other service applies the files of a folder.

    Raises:
        BusyError: another one does.
    """
    with ExitStack() as stack:
        try:
            stack.enter_context(only_writer(folder))
        except BusyError as error:
            raise BusyError(
                f"{folder}: another service runs with this folder. Stop it, or choose another with --state."
            ) from error
        yield


class SpoolFile:
    """Takes lines as they come. What is not committed is gone at the end of the block.

    Args:
        folder: of the files.

    Raises:
        ServiceError: ``storage_full``.
    """

    def __init__(self, folder: Path) -> None:
        self._path = folder / f"{secrets.token_hex(12)}{_PART}"
        self._filled = False
        """Whether the last line has something in it."""
        self._length = 0
        """Bytes of the last line."""
        self.lines = 0
        """Lines that have something in them."""
        with storing(self._path):
            self._file = self._path.open("wb")

    def write(self, data: bytes) -> None:
        """Add bytes, which may end within a line.

        Raises:
            ServiceError: ``storage_full``, or ``too_large`` for a line that is longer than what is read.
        """
        ended, *rest = data.split(b"\n")
        self._extend(ended)
        for part in rest:
            self._filled, self._length = False, 0
            self._extend(part)
        with storing(self._path):
            self._file.write(data)

    def _extend(self, part: bytes) -> None:
        self._length += len(part)
        if self._length > MAX_LINE:
            raise ServiceError("too_large", f"A line has more than {MAX_LINE >> 20} MiB.", f"line {self.lines}")
        if not self._filled and part.strip():
            self._filled = True
            self.lines += 1

    def copy_of(self, other: SpoolFile) -> None:
        """Take the lines of another file that is not committed yet.

        Raises:
            ServiceError: ``storage_full``.
        """
        with storing(other._path):
            other._file.flush()
        with other._path.open("rb") as opened:
            while block := opened.read(1 << 20):
                self.write(block)

    def commit(self) -> str:
        """Put all of it on the disk for good; returns the file's name.

        Raises:
            ServiceError: ``storage_full``.
        """
        whole = self._path.with_suffix(_WHOLE)
        with storing(self._path):
            self._file.flush()
            os.fsync(self._file.fileno())
            self._file.close()
            self._path.replace(whole)
            _sync_folder(whole.parent)
        return whole.name

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with suppress(OSError):  # what was buffered did not fit, and is not wanted any more
            self._file.close()
        self._path.unlink(missing_ok=True)


@contextmanager
def storing(path: Path) -> Iterator[None]:
    """Turn what goes wrong while the block writes into ``storage_full``, without naming folders of this machine."""
    try:
        with writing(path):
            yield
    except StorageError as error:
        raise ServiceError(
            "storage_full", "The write cannot be kept: the disk is full or not writable. Nothing was changed."
        ) from error


def _sync_folder(folder: Path) -> None:
    """Make a file's name durable."""
    opened = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)


@dataclass
class Chunk:
    """Lines that are applied together."""

    numbers: list[int] = field(default_factory=list)
    """Of each line in the file, from 1."""
    lines: list[bytes] = field(default_factory=list)


def chunks(file: Path, most_lines: int, most_bytes: int) -> Iterator[Chunk]:
    """Lines of a file that have something in them, so many at a time; a chunk holds one at least.

    Raises:
        FileNotFoundError: the file is gone.
    """
    chunk, size = Chunk(), 0
    with file.open("rb") as opened:
        for number, line in enumerate(opened, 1):
            if not line.strip():
                continue
            if chunk.lines and (len(chunk.lines) >= most_lines or size + len(line) > most_bytes):
                yield chunk
                chunk, size = Chunk(), 0
            chunk.numbers.append(number)
            chunk.lines.append(line)
            size += len(line)
    if chunk.lines:
        yield chunk


def left_files(folder: Path) -> list[Path]:
    """Files of writes, whole or not."""
    return [file for file in folder.iterdir() if file.suffix in (_PART, _WHOLE)]
