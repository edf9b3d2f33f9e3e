"""Images packed into large files, as rows that are read where they lie: nothing is unpacked or copied.

Two kinds: tab-separated files of an id and base64 (MUGE, OFA), and tar files of samples (webdataset, img2dataset).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from typing import Any

from interbert.extraction.images import MAX_FILE

MAX_IMAGE = MAX_FILE
"""Bytes of an image's file inside a packed one, as of any other."""


class ArchiveRows(ABC):
    """Rows by number, columns by name; what :class:`interbert.extraction.sources.ImageSource` reads."""

    column_names: Sequence[str]
    image_id: str
    """The column with an id that is unique per image."""
    repeated = "An id names one image"
    """What to say where it is not."""

    @abstractmethod
    def __len__(self) -> int:
        """Number of rows."""

    @abstractmethod
    def value(self, row: int, column: str) -> Any:
        """One cell; an image that cannot be had is ``{"problem": why}``."""

    def __getitem__(self, key: int | slice | str) -> Any:
        if isinstance(key, str):
            return _Column(self, key)
        if isinstance(key, slice):
            rows = range(*key.indices(len(self)))
            return {name: [self.value(row, name) for row in rows] for name in self.column_names}
        if not 0 <= key < len(self):
            raise IndexError(key)
        return {name: self.value(key, name) for name in self.column_names}

    def select_columns(self, names: Sequence[str]) -> ArchiveRows:
        """The same rows with only these columns."""
        return _Selected(self, names)


class _Selected(ArchiveRows):
    def __init__(self, rows: ArchiveRows, names: Sequence[str]) -> None:
        self._rows, self.column_names, self.image_id = rows, tuple(names), rows.image_id

    def __len__(self) -> int:
        return len(self._rows)

    def value(self, row: int, column: str) -> Any:
        return self._rows.value(row, column)


class _Column:
    def __init__(self, rows: ArchiveRows, name: str) -> None:
        self._rows, self._name = rows, name

    def __len__(self) -> int:
        return len(self._rows)

    def __iter__(self) -> Iterator[Any]:
        return (self._rows.value(row, self._name) for row in range(len(self._rows)))

    def __getitem__(self, row: int) -> Any:
        return self._rows.value(row, self._name)
