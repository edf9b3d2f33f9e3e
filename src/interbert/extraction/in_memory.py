"""Rows of a source with the files of their images in memory, and how many of them fit there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from interbert.errors import ImageError
from interbert.extraction.images import MAX_FILE, file_bytes
from interbert.extraction.sources import ImageSource, SourceItem

_SAMPLE = 16
"""Rows, at the least, whose files say how large those of a source are."""


def with_bytes(item: SourceItem) -> SourceItem:
    """A row that needs no disk; without an image, and with why, where its file cannot be read or is too large."""
    if item.data is None:
        return item
    try:
        return replace(item, data=file_bytes(item.data, item.where))
    except OSError as error:
        return replace(item, data=None, problem=f"cannot be read ({error.strerror or error})")
    except ImageError as error:
        return replace(item, data=None, problem=str(error).removeprefix(f"{item.where}: "))


def rows_within(limit: int, source: ImageSource, rows: Sequence[int]) -> int:
    """How many images have files of so many bytes together, by the mean of a sample; at least one."""
    sizes = [file_size(source[row]) for row in rows[:: max(1, len(rows) // _SAMPLE)]]
    return max(1, limit * len(sizes) // max(1, sum(sizes)))


def file_size(item: SourceItem) -> int:
    """Bytes of a row's file; 0 where there is none, or one that is too large to be read."""
    size = 0
    if isinstance(item.data, bytes):
        size = len(item.data)
    elif isinstance(item.data, Path) and item.data.is_file():
        size = item.data.stat().st_size
    return size if size <= MAX_FILE else 0
