"""Texts of pictures by id, for joining captions to pictures or regions that come from elsewhere.

Held in a temporary file, not in memory: Conceptual Captions has three million.
"""

from __future__ import annotations

import re
import sqlite3
import threading
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from interbert.errors import SourceError, UsageError
from interbert.regions.caption_files import Caption, read_captions

_PICTURE = re.compile(r"\.(jpe?g|png|webp|gif|bmp|tiff?|npy|npz)$", re.IGNORECASE)
_COCO = re.compile(r"COCO_\w+_0*(\d+)$")


def normal_id(name: str) -> str:
    """What names of one picture share: ``val2014/COCO_val2014_000000391895.jpg`` and ``391895`` are the same."""
    stem = _PICTURE.sub("", name.strip().replace("\\", "/").rsplit("/", 1)[-1])
    coco = _COCO.match(stem)
    number = coco.group(1) if coco else stem
    return number.lstrip("0") or "0" if number.isdigit() else number


def open_captions(path: str | None, splits: Sequence[str]) -> CaptionIndex | None:
    """The caption file that a command names, None when it names none.

    Raises:
        UsageError: splits without a file.
        SourceError: as :class:`CaptionIndex`.
    """
    if path is None and splits:
        raise UsageError("--caption_split takes splits of a caption file; name it with --captions.")
    return None if path is None else CaptionIndex(path, splits)


class CaptionIndex:
    """Texts by picture, looked up by the exact name first, then by :func:`normal_id`.

    Args:
        path: a caption file, see :mod:`interbert.regions.caption_files`.
        splits: of Karpathy's files, only captions of these; empty takes all.

    Raises:
        SourceError: the file cannot be read, holds no captions, or has no such split.
    """

    def __init__(self, path: str | Path, splits: Sequence[str] = ()) -> None:
        self.path = str(path)
        self.splits = tuple(splits)
        self._lock = threading.Lock()
        self._open()

    def _open(self) -> None:
        known: set[str] = set()
        self._table = sqlite3.connect("", check_same_thread=False)
        self._table.execute("CREATE TABLE texts (id TEXT, text TEXT, field TEXT, wanted INTEGER)")
        self._table.executemany("INSERT INTO texts VALUES (?, ?, ?, ?)", self._entries(read_captions(self.path), known))
        self._table.execute("CREATE INDEX by_id ON texts (id)")
        if not self._count("SELECT COUNT(*) FROM texts"):
            raise SourceError(f"{self.path}: holds no captions.")
        if not self._count("SELECT COUNT(*) FROM texts WHERE wanted"):
            raise SourceError(
                f"{self.path}: has no captions of split {', '.join(self.splits)}. Its splits: "
                f"{', '.join(sorted(known - {''})) or 'none'}."
            )

    def _entries(self, captions: Iterable[Caption], known: set[str]) -> Iterator[tuple[str, str, str, bool]]:
        for one in captions:
            known.add(one.split)
            wanted = not self.splits or one.split in self.splits
            for name in {one.picture, normal_id(one.picture)}:
                yield name, one.text, one.field, wanted

    def _count(self, question: str) -> int:
        return int(self._table.execute(question).fetchone()[0])

    def find(self, picture: str) -> tuple[tuple[str, ...], tuple[str, ...]] | None:
        """Distinct texts and the field of each, in the file's order.

        Returns:
            Two empty tuples for a picture that the file does not know; None for one whose captions are of other splits.
        """
        for name in dict.fromkeys((picture, normal_id(picture))):
            with self._lock:
                rows = self._table.execute(
                    "SELECT text, field, wanted FROM texts WHERE id = ? ORDER BY rowid", (name,)
                ).fetchall()
            if rows:
                texts = {text: field for text, field, wanted in rows if wanted}
                return (tuple(texts), tuple(texts.values())) if texts else None
        return (), ()

    def __getstate__(self) -> dict[str, Any]:
        return {"path": self.path, "splits": self.splits}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.path, self.splits, self._lock = state["path"], state["splits"], threading.Lock()
        self._open()
