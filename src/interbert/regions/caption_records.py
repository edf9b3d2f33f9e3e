"""What caption files give, whatever their kind: captions, and lines that gave none."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from interbert.errors import SourceError

_MAX_LINE = 1 << 22
_MAX_TEXT = 10_000


@dataclass(frozen=True)
class Caption:
    """One text of one image."""

    image: str
    """Its id or its file's name, as the caption file has it."""
    text: str
    field: str
    """``caption``, or ``query`` for what a shopper typed."""
    split: str
    """Karpathy's split, empty where the file has none."""


@dataclass(frozen=True)
class PassedOver:
    """A line, row or record that gave no caption."""

    row: int
    """Its number in the file, as its kind counts: lines and rows from 1, elements of a JSON list from 0."""
    image_id: str
    """Of its image, empty where it names none."""
    reason: str
    """With the file and the row."""

    def __str__(self) -> str:
        return self.reason.rstrip(".")


def is_caption(text: str, name: str, where: str, number: int, passed: list[PassedOver]) -> bool:
    """Whether a text is short enough to be a caption; one that is not is listed."""
    if len(text) > _MAX_TEXT:
        reason = f"{where}: its text has {len(text):,} characters; at most {_MAX_TEXT:,} are read."
        passed.append(PassedOver(number, name, reason))
    return len(text) <= _MAX_TEXT


def caption_lines(file: Path) -> Iterator[tuple[int, str]]:
    """Number, from 1, and text of each line of a file.

    Raises:
        SourceError: a line is longer than is read, or the file is no text in UTF-8.
    """
    with file.open(encoding="utf-8-sig", newline="") as lines:
        number = 0
        try:
            while line := lines.readline(_MAX_LINE):
                number += 1
                if len(line) == _MAX_LINE:
                    raise SourceError(f"{file}: line {number} has more than {_MAX_LINE:,} characters; no caption file.")
                yield number, line.replace("\0", " ")
        except UnicodeDecodeError as error:
            raise SourceError(f"{file}: is no text in UTF-8 after line {number}. Save it as UTF-8.") from error
