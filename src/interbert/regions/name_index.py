"""Which name of a file beside the images means which image: exactly, or by what names of one image share.

Names of one image differ in their folders (``shirts/1.jpg``, ``/data/shirts/1.jpg``), their ending (``1.jpg``,
``1.npy``), leading zeros (``7``, ``007``) and COCO's prefix. A looser match is taken only when nothing contradicts it:

1. The exact name comes before everything.
2. Folders must not contradict each other: ``shirts/1.jpg`` is never ``bags/1.jpg``; ``1.jpg`` may be either.
3. Among several names that an image may mean, those that differ in folder and ending alone come before those that
   differ in zeros, and more common folders before fewer. When several are left, or when zeros would have to decide
   between several, the image is ambiguous.
4. Among several images that may mean one name, the nearest by the same order has it; the others are ambiguous.
"""

from __future__ import annotations

import re
import sqlite3
import threading
from collections.abc import Callable, Iterable, Iterator
from copy import copy
from dataclasses import dataclass
from typing import Any

_ENDING = re.compile(r"\.(jpe?g|png|webp|gif|bmp|tiff?|npy|npz)$", re.IGNORECASE)
_FLOAT = re.compile(r"(\d+)\.0+")
"""What pandas makes of numbers in a column that has gaps."""
_COCO = re.compile(r"COCO_\w+_0*(\d+)$")
_DEEPEST = 8
"""Folders above the file that are looked at, the file's name among them."""
_FEW = 50
"""Names that are looked at where many are alike."""
_SAME_STEM, _EXACT = 1 << 10, 1 << 20

Namer = Callable[[], Iterable[str]]


@dataclass(frozen=True)
class Match:
    """What a name was found to mean."""

    name: str | None
    """The name in the file; None when there is none, or more than one could be meant."""
    problem: str | None = None
    """Why a name that is like some in the file means none of them."""


@dataclass(frozen=True)
class _Parts:
    file: str
    """The last part of the name, as written."""
    stem: str
    """Without the ending."""
    key: str
    """Stem without COCO's prefix and leading zeros, and the folders from the innermost on, each with a slash behind."""


class NameIndex:
    """Names, found by other names of the same image; on disk.

    Args:
        names: of the file; repeated ones are one.
        where: the file, for messages.
    """

    def __init__(self, names: Iterable[str], where: str) -> None:
        self._where = where
        self._lock = threading.RLock()
        self._table = sqlite3.connect("", check_same_thread=False)
        self._table.execute("CREATE TABLE names (name TEXT PRIMARY KEY, key TEXT) WITHOUT ROWID")
        self._table.executemany("INSERT OR IGNORE INTO names VALUES (?, ?)", ((one, _parts(one).key) for one in names))
        self._table.execute("CREATE INDEX by_key ON names (key)")
        self._images: Namer | None = None
        self._rivals: dict[str, str] = {}

    def among(self, images: Namer) -> NameIndex:
        """The same names, for images that are known: of those that are alike, only the nearest is given a name.

        Args:
            images: gives the names of all images; called once, when the first name is not found exactly.
        """
        narrowed = copy(self)
        narrowed._images, narrowed._rivals = images, {}
        return narrowed

    @property
    def rivals(self) -> dict[str, str]:
        """Images that mean what another image means as well or better, and that other image."""
        with self._lock:
            if self._images is not None:
                images, self._images = self._images, None
                self._rivals = self._contested(images())
            return self._rivals

    @rivals.setter
    def rivals(self, found: dict[str, str]) -> None:
        self._images, self._rivals = None, found

    def find(self, image: str) -> Match:
        """The name in the file that means this image."""
        with self._lock:
            name, rank, problem = self._nearest(image)
            if name is None or rank == _EXACT or image not in self.rivals:
                return Match(name, problem)
            return Match(None, f"{_short(name)} in {self._where} is ambiguous: {_short(self.rivals[image])} has it too")

    def _nearest(self, image: str) -> tuple[str | None, int, str | None]:
        """Name, how near it is, and why there is none; whatever the other images are."""
        if self._all("SELECT name FROM names WHERE name = ?", image):
            return image, _EXACT, None
        own = _parts(image)
        ranked = sorted(((_rank(own, _parts(one)), one) for one in self._alike(own.key)), reverse=True)
        if not ranked:
            return None, 0, self._elsewhere(own)
        first = ranked[0][0]
        if len(ranked) > 1 and first in (0, ranked[1][0]):
            both = f"{_short(ranked[0][1])} and {_short(ranked[1][1])}"
            return None, 0, f"it is ambiguous in {self._where}, which has {both}"
        return ranked[0][1], first, None

    def _alike(self, key: str) -> list[str]:
        """Names with this key, with one that goes on where it ends, or one that ends where it goes on."""
        ends = [place + 1 for place, sign in enumerate(key) if sign == "/"]
        shorter = [key[:end] for end in ends[:-1]]
        below = self._all("SELECT name FROM names WHERE key >= ? AND key < ? LIMIT ?", key, key[:-1] + "0", _FEW)
        marks = ", ".join("?" * len(shorter))
        return below + self._all(f"SELECT name FROM names WHERE key IN ({marks}) LIMIT ?", *shorter, _FEW)

    def _elsewhere(self, own: _Parts) -> str | None:
        """The file's name in another folder, which is no match, in words."""
        stem = own.key.split("/", 1)[0] + "/"
        found = self._all("SELECT name FROM names WHERE key >= ? AND key < ? LIMIT 1", stem, stem[:-1] + "0")
        if not found:
            return None
        return f"its file name is ambiguous: {self._where} has {_short(found[0])}, in another folder"

    def _contested(self, images: Iterable[str]) -> dict[str, str]:
        table = self._table
        table.execute("CREATE TEMP TABLE asked (image TEXT PRIMARY KEY, name TEXT, rank INTEGER) WITHOUT ROWID")
        table.executemany("INSERT OR IGNORE INTO asked VALUES (?, ?, ?)", self._asked(images))
        table.execute("CREATE INDEX by_name ON asked (name, rank)")
        found = table.execute(
            "SELECT one.image, (SELECT other.image FROM asked other WHERE other.name = one.name AND other.rank >= "
            "one.rank AND other.image <> one.image LIMIT 1) AS rival FROM asked one WHERE rival IS NOT NULL"
        ).fetchall()
        table.execute("DROP TABLE asked")
        return dict(found)

    def _asked(self, images: Iterable[str]) -> Iterator[tuple[str, str, int]]:
        for image in images:
            name, rank, _ = self._nearest(image)
            if name is not None:
                yield image, name, rank

    def _all(self, question: str, *values: Any) -> list[str]:
        return [str(found) for (found,) in self._table.execute(question, values)]


def storable(name: str) -> str:
    """A name without what no file and no database can hold."""
    return name.encode("utf-8", "replace").decode()


def _parts(name: str) -> _Parts:
    folders = [one for one in name.strip().replace("\\", "/").split("/") if one not in ("", ".")] or [""]
    file = folders.pop()
    stem = _ENDING.sub("", file)
    coco = _COCO.match(stem)
    number = coco.group(1) if coco else stem
    whole = _FLOAT.fullmatch(number)
    number = whole.group(1) if whole else number
    shared = number.lstrip("0") or "0" if number.isdigit() else number
    above = [] if coco else folders[::-1][: _DEEPEST - 1]  # COCO's names say the folder themselves
    return _Parts(file, coco.group(1) if coco else stem, "".join(f"{one}/" for one in (shared, *above)))


def _rank(image: _Parts, name: _Parts) -> int:
    """How near two names are that do not contradict each other: 0 when zeros are between them."""
    if image.stem != name.stem:
        return 0
    return _SAME_STEM + 2 * min(image.key.count("/"), name.key.count("/")) + (image.file == name.file)


def _short(name: str) -> str:
    return repr(name if len(name) <= 80 else f"{name[:77]}...")
