"""Tab-separated files of any length, line by line, with a bound on the line."""

from __future__ import annotations

import glob
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from interbert.errors import RegionError, SourceError
from interbert.regions.importers.fields import MAX_RECORD

_MEGABYTE = 1e6
_MAX_CELLS = 100
"""Cells of a line; a known layout has 13 at most."""


@dataclass(frozen=True)
class Line:
    """One line of a file that holds anything."""

    row: int
    """Number over all files, from 0, without empty lines."""
    where: str
    position: float
    """Megabytes of all files behind its end."""
    offset: int
    """Of its first byte in its file."""
    content: bytes | None
    """Without the line's end; None when it is longer than 64 MiB."""

    def cells(self, count: int | None = None) -> list[bytes]:
        """What stands between the tabs.

        Raises:
            RegionError: the line is too long, or has another number of cells than ``count``, or more than 100.
        """
        if self.content is None:
            raise RegionError(f"{self.where}: is longer than {MAX_RECORD:,} bytes. Are its line ends missing?")
        found = self.content.count(b"\t") + 1
        if count is not None and found != count:
            raise RegionError(f"{self.where}: has {found:,} fields, not {count}.")
        if found > _MAX_CELLS:
            raise RegionError(f"{self.where}: has {found:,} fields; at most {_MAX_CELLS} are read.")
        return self.content.split(b"\t")


class LineFiles:
    """One file, or all that a pattern matches, in the order of their names.

    Raises:
        SourceError: there is none, or one is empty.
    """

    unit = "MB"

    def __init__(self, source: str) -> None:
        self.name = source
        path = Path(source).expanduser()
        if path.is_file():
            self.files = [path]
        elif path.is_dir():
            raise SourceError(
                f"{source}: is a folder. Name the file, or several with a pattern such as '{source}/*.tsv'."
            )
        else:
            self.files = [Path(one) for one in sorted(glob.glob(str(path), recursive=True)) if Path(one).is_file()]
        if not self.files:
            raise SourceError(f"{source}: there is no such file.")
        sizes = [file.stat().st_size for file in self.files]
        if not all(sizes):
            raise SourceError(f"{self.files[sizes.index(0)]}: the file is empty.")
        self.total = sum(sizes) / _MEGABYTE

    def __iter__(self) -> Iterator[Line]:
        row, behind = 0, 0
        for file in self.files:
            with file.open("rb") as stream:
                number, offset = 0, 0
                while raw := stream.readline(MAX_RECORD + 2):
                    number += 1
                    start, offset = offset, offset + len(raw)
                    content: bytes | None = raw.rstrip(b"\r\n")
                    if len(raw) > MAX_RECORD + 1 and not raw.endswith(b"\n"):
                        offset += _drain(stream)
                        content = None
                    if content is None or content.strip():
                        position = (behind + offset) / _MEGABYTE
                        yield Line(row, f"{file}, line {number}", position, start, content)
                        row += 1
                behind += offset

    def usual_columns(self, lines: int = 20) -> int:
        """How many cells most of the first lines have; a damaged first line does not mislead."""
        counts: Counter[int] = Counter()
        for line in self:
            if line.content is not None:
                counts[line.content.count(b"\t") + 1] += 1
            if line.row + 1 >= lines:
                break
        return counts.most_common(1)[0][0] if counts else 0


def _drain(stream: object) -> int:
    passed = 0
    while raw := stream.readline(MAX_RECORD):  # type: ignore[attr-defined]
        passed += len(raw)
        if raw.endswith(b"\n"):
            break
    return passed
