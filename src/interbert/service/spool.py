"""Lines of a write on their way from a request's body to the database, and from there to who applies them."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import IO, Self

from interbert.errors import StorageError, writing
from interbert.service.errors import ServiceError

MAX_LINE = 96 << 20
"""Bytes of a line: an image of 64 MiB as base64, and its texts."""
_IN_MEMORY = 1 << 20
"""Bytes of a write that are kept in memory; the others go to the disk."""
_PART = 1 << 20
"""Bytes after which a part of a task's lines ends, at the end of a line."""


class SpoolFile:
    """Takes lines as they come; gone at the end of the block, and with the process. Its parts are whole lines.

    Args:
        folder: of files of more than a MiB; made when it is not there.

    Raises:
        ServiceError: ``storage_full``.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._filled = False
        """Whether the last line has something in it."""
        self._length = 0
        """Bytes of the last line."""
        self.lines = 0
        """Lines that have something in them."""
        with storing(folder):
            folder.mkdir(parents=True, exist_ok=True)
            self._file: IO[bytes] = tempfile.SpooledTemporaryFile(_IN_MEMORY, dir=folder)

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
        with storing(self._folder):
            self._file.write(data)

    def _extend(self, part: bytes) -> None:
        self._length += len(part)
        if self._length > MAX_LINE:
            raise ServiceError("too_large", f"A line has more than {MAX_LINE >> 20} MiB.", f"line {self.lines}")
        if not self._filled and part.strip():
            self._filled = True
            self.lines += 1

    def __iter__(self) -> Iterator[bytes]:
        """Parts, from the first."""
        part, size = [], 0
        with storing(self._folder):
            self._file.seek(0)
            for line in self._file:
                part.append(line)
                size += len(line)
                if size >= _PART:
                    yield b"".join(part)
                    part, size = [], 0
        if part:
            yield b"".join(part)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with suppress(OSError):  # what was buffered did not fit, and is not wanted any more
            self._file.close()


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


@dataclass
class Chunk:
    """Lines that are applied together."""

    numbers: list[int] = field(default_factory=list)
    """Of each line of the write, from 1."""
    lines: list[bytes] = field(default_factory=list)


def chunks(parts: Iterable[bytes], most_lines: int, most_bytes: int) -> Iterator[Chunk]:
    """Lines of a write that have something in them, so many at a time; a chunk holds one at least.

    Args:
        parts: whole lines each.
        most_lines, most_bytes: of a chunk.
    """
    chunk, size = Chunk(), 0
    lines = (line for part in parts for line in part.removesuffix(b"\n").split(b"\n"))
    for number, line in enumerate(lines, 1):
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
