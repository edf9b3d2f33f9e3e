"""Texts of images by id, for joining captions to images or regions that come from elsewhere.

Held in a temporary file, not in memory: Conceptual Captions has three million.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from interbert.errors import SourceError, UsageError
from interbert.regions.caption_files import read_captions
from interbert.regions.caption_records import Caption, PassedOver
from interbert.regions.name_index import Match, NameIndex, Namer


def open_captions(path: str | None, splits: Sequence[str]) -> CaptionIndex | None:
    """The caption file that a command names, None when it names none.

    Raises:
        UsageError: splits without a file.
        SourceError: as :class:`CaptionIndex`.
    """
    if path is None and splits:
        raise UsageError("--caption-split takes splits of a caption file; name it with --captions.")
    return None if path is None else CaptionIndex(path, splits)


class CaptionIndex:
    """Texts by image, looked up by the exact name first, then as :class:`~interbert.regions.name_index.NameIndex` does.

    Args:
        path: a caption file, see :mod:`interbert.regions.caption_files`.
        splits: of Karpathy's files, only captions of these; empty takes all.

    Raises:
        SourceError: the file cannot be read, holds no captions, or has no such split.
    """

    passed_over: list[PassedOver]
    """Lines or records of the file that gave no caption."""

    def __init__(self, path: str | Path, splits: Sequence[str] = ()) -> None:
        self.path = str(path)
        self.splits = tuple(splits)
        self._lock = threading.Lock()
        self._open()

    def _open(self) -> None:
        known: set[str] = set()
        self.passed_over = []
        self._table = sqlite3.connect("", check_same_thread=False)
        self._table.execute("CREATE TABLE texts (id TEXT, text TEXT, field TEXT, wanted INTEGER)")
        captions = read_captions(self.path, self.passed_over)
        self._table.executemany("INSERT INTO texts VALUES (?, ?, ?, ?)", self._entries(captions, known))
        self._table.execute("CREATE INDEX by_id ON texts (id)")
        if not self._count("SELECT COUNT(*) FROM texts"):
            first = f" ({self.passed_over[0]})" if self.passed_over else ""
            raise SourceError(f"{self.path}: holds no captions{first}.")
        if not self._count("SELECT COUNT(*) FROM texts WHERE wanted"):
            raise SourceError(
                f"{self.path}: has no captions of split {', '.join(self.splits)}. Its splits: "
                f"{', '.join(sorted(known - {''})) or 'none'}."
            )
        names = (str(name) for (name,) in self._table.execute("SELECT DISTINCT id FROM texts"))
        self._names = NameIndex(names, self.path)

    def _entries(self, captions: Iterable[Caption], known: set[str]) -> Iterator[tuple[str, str, str, bool]]:
        for one in captions:
            known.add(one.split)
            yield one.image, one.text, one.field, not self.splits or one.split in self.splits

    def _count(self, question: str) -> int:
        return int(self._table.execute(question).fetchone()[0])

    def among(self, images: Namer) -> CaptionIndex:
        """The same captions for images that are known, so that none takes another's: see :meth:`NameIndex.among`."""
        narrowed = object.__new__(CaptionIndex)
        narrowed.__dict__ |= self.__dict__
        narrowed._names = self._names.among(images)
        return narrowed

    def match(self, image: str) -> Match:
        """The name in the file that means this image, or why none does."""
        return self._names.find(image)

    def find(self, image: str) -> tuple[tuple[str, ...], tuple[str, ...]] | None:
        """Distinct texts and the field of each, in the file's order.

        Returns:
            Two empty tuples for an image that the file does not know, or that is ambiguous (:meth:`match` says why);
            None for one whose captions are of other splits.
        """
        name = self.match(image).name
        if name is None:
            return (), ()
        with self._lock:
            rows = self._table.execute(
                "SELECT text, field, wanted FROM texts WHERE id = ? ORDER BY rowid", (name,)
            ).fetchall()
        texts = {text: field for text, field, wanted in rows if wanted}
        return (tuple(texts), tuple(texts.values())) if texts else None

    def absent(self, images: Iterable[str]) -> tuple[int, str]:
        """How many images the file has captions of, in the splits that are wanted, that are none of these; and one."""
        with self._lock:
            self._table.execute("CREATE TEMP TABLE used (id TEXT PRIMARY KEY) WITHOUT ROWID")
            names = ((self.match(image).name,) for image in images)
            self._table.executemany("INSERT OR IGNORE INTO used VALUES (?)", (one for one in names if one != (None,)))
            count, first = self._table.execute(
                "SELECT COUNT(DISTINCT id), MIN(id) FROM texts WHERE wanted AND id NOT IN (SELECT id FROM used)"
            ).fetchone()
            self._table.execute("DROP TABLE used")
        return int(count), first or ""

    def __getstate__(self) -> dict[str, Any]:
        return {"path": self.path, "splits": self.splits, "rivals": self._names.rivals}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.path, self.splits, self._lock = state["path"], state["splits"], threading.Lock()
        self._open()
        self._names.rivals = state["rivals"]
