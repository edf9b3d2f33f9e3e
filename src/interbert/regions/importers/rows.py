"""What an importer gives for an image, and the checks that every format's images pass before they are stored.

Shapes: N regions of an image, F region feature size, C region classes.
"""

from __future__ import annotations

import sqlite3
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from interbert.errors import RegionError, SourceError
from interbert.regions.schema import Regions

MAX_REGIONS = 1000
"""More regions than any detector keeps; an image that claims more is refused before anything is allocated for it."""
MAX_NUMBERS = 1 << 24
"""Numbers of one image, of all its arrays: 64 MiB of float32, whatever type they are read as."""
MAX_SIDE = 100_000
"""Pixels."""
_SLACK = 0.01
"""How far a box may lie outside its image, as a share of the side: rounding of a resized image; it is clipped."""
_SLACK_PIXELS = 2.0


@dataclass(frozen=True)
class ForeignRegions:
    """An image as its file has it, decoded and not yet checked."""

    width: int
    height: int
    boxes: NDArray[Any]
    """[N,4] as x1, y1, x2, y2 in pixels."""
    features: NDArray[Any]
    """[N,F]"""
    class_probs: NDArray[Any] | None = None
    """[N,C]"""
    texts: tuple[str, ...] = ()
    """Texts that stand in the same record."""


@dataclass(frozen=True)
class ForeignRow:
    """One record of a foreign file; ``read`` decodes it, so a resumed import passes quickly over what it has."""

    row: int
    """Number in the source, from 0."""
    where: str
    """The record in words, for messages."""
    image_id: str
    position: float
    """How much of the source, in its unit, is behind this record's end."""
    read: Callable[[], ForeignRegions]
    """Raises RegionError when the record cannot be used."""
    product_id: str = ""
    """The image's id when empty."""


class ForeignSource(ABC):
    """A foreign file, opened."""

    name: str
    """As the user wrote it."""
    total: float = 0.0
    unit: str = "rows"
    feature_size: int
    num_classes: int | None = None
    text_field: str = "caption"
    """Which column its own texts are said to come from."""
    repeats_are_one: bool = False
    """Whether rows with the same id are the same image again; else they are listed as duplicates."""

    @abstractmethod
    def rows(self) -> Iterator[ForeignRow]:
        """Every record in the same order each time.

        Raises:
            SourceError: the file cannot be read any further.
        """

    def names(self) -> Iterator[str]:
        """Every record's id, up to where the file cannot be read any further; nothing is decoded."""
        try:
            for row in self.rows():
                if row.image_id:
                    yield row.image_id
        except SourceError:
            return  # whoever reads the records says so

    def texts_of(self, image_id: str) -> tuple[str, ...]:
        """Texts that the source has elsewhere for an image."""
        return ()


def checked(foreign: ForeignRegions, where: str, feature_size: int, num_classes: int | None) -> Regions:
    """Regions fit to be stored.

    Features and distributions become float16. Boxes up to 1% (or two pixels) outside their image are clipped to it;
    a box without area is kept, since detectors clip at the border too.

    Raises:
        RegionError: saying what is wrong with the record.
    """
    width, height = _side(foreign.width, "width", where), _side(foreign.height, "height", where)
    count = len(foreign.boxes)
    if not 1 <= count <= MAX_REGIONS:
        raise RegionError(f"{where}: has {count} regions; 1 to {MAX_REGIONS} are read.")
    if foreign.features.shape != (count, feature_size):
        raise RegionError(
            f"{where}: features have the shape {list(foreign.features.shape)}, not [{count}, {feature_size}]. If all "
            "rows have another size, give it with --feature-size."
        )
    numbers = foreign.features.size + (0 if foreign.class_probs is None else foreign.class_probs.size)
    require_numbers(numbers, where)
    probabilities = _distribution(foreign.class_probs, count, num_classes, where)
    boxes = _inside(np.asarray(foreign.boxes, dtype=np.float32), width, height, where)
    with np.errstate(over="ignore"):  # what is too large becomes infinite, and is refused as that
        features = foreign.features.astype(np.float16)
    return Regions(boxes, features, probabilities, width, height).validate(where)


def require_numbers(count: int, where: str) -> None:
    """Check how many numbers a record's arrays have before they become wider types.

    Raises:
        RegionError: more than 16,777,216.
    """
    if count > MAX_NUMBERS:
        raise RegionError(f"{where}: its regions have {count:,} numbers; at most {MAX_NUMBERS:,} are read.")


def _side(value: int, name: str, where: str) -> int:
    if not 1 <= value <= MAX_SIDE:
        raise RegionError(f"{where}: an image's {name} of {value} pixels is impossible.")
    return int(value)


def _inside(boxes: NDArray[np.float32], width: int, height: int, where: str) -> NDArray[np.float32]:
    if boxes.shape[1:] != (4,):
        raise RegionError(f"{where}: boxes have the shape {list(boxes.shape)}, not [N, 4].")
    if not np.isfinite(boxes).all():
        raise RegionError(f"{where}: boxes hold NaN or infinite values.")
    sides = np.array([width, height, width, height], dtype=np.float32)
    slack = np.maximum(sides * _SLACK, _SLACK_PIXELS)
    outside = np.flatnonzero(((boxes < -slack) | (boxes > sides + slack)).any(axis=1))
    if len(outside):
        raise RegionError(
            f"{where}: box {outside[0]} is {_numbers(boxes[outside[0]])}, outside its image of {width}x{height}. "
            "Are width and height swapped, or is the box in another order?"
        )
    clipped = boxes.clip(0, sides)
    inverted = np.flatnonzero((clipped[:, 2:] < clipped[:, :2]).any(axis=1))
    if len(inverted):
        raise RegionError(
            f"{where}: box {inverted[0]} is {_numbers(boxes[inverted[0]])}: its end lies before its start."
        )
    return clipped


def _numbers(box: NDArray[np.float32]) -> str:
    return ", ".join(f"{value:.1f}" for value in box.tolist())


def _distribution(
    values: NDArray[Any] | None, count: int, num_classes: int | None, where: str
) -> NDArray[np.float16] | None:
    if num_classes is None:
        return None
    if values is None or values.shape != (count, num_classes):
        shape = "none" if values is None else list(values.shape)
        raise RegionError(f"{where}: class probabilities have the shape {shape}, not [{count}, {num_classes}].")
    exact = values.astype(np.float64)
    if not np.isfinite(exact).all() or (exact < -1e-3).any() or (np.abs(exact.sum(axis=1) - 1) > 0.02).any():
        raise RegionError(f"{where}: class probabilities are none: each region's must be at least 0 and sum to 1.")
    return exact.clip(0, 1).astype(np.float16)


class SeenRows:
    """Ids that are in a store, with the source row of each; a temporary file that vanishes with this object."""

    def __init__(self, rows: Iterable[tuple[str, int, int]]) -> None:
        self._table = sqlite3.connect("")
        self._table.execute("CREATE TABLE seen (id TEXT PRIMARY KEY, row INTEGER, place INTEGER) WITHOUT ROWID")
        self._table.executemany("INSERT OR IGNORE INTO seen VALUES (?, ?, ?)", rows)

    def find(self, image_id: str) -> tuple[int, int] | None:
        """Source row and store row of an id (store row -1 for one added since); None when it is new."""
        found = self._table.execute("SELECT row, place FROM seen WHERE id = ?", (image_id,)).fetchone()
        return None if found is None else (int(found[0]), int(found[1]))

    def add(self, image_id: str, row: int) -> None:
        """Remember a new id."""
        self._table.execute("INSERT OR IGNORE INTO seen VALUES (?, ?, -1)", (image_id, row))


class Offsets:
    """Where in a file the record of an id stands."""

    def __init__(self, entries: Iterable[tuple[str, int]]) -> None:
        self._table = sqlite3.connect("")
        self._table.execute("CREATE TABLE places (id TEXT PRIMARY KEY, place INTEGER, used INTEGER DEFAULT 0)")
        self._table.executemany("INSERT OR IGNORE INTO places (id, place) VALUES (?, ?)", entries)

    def find(self, name: str) -> int | None:
        """The place of an id, None when there is none."""
        found = self._table.execute("SELECT place FROM places WHERE id = ?", (name,)).fetchone()
        return None if found is None else int(found[0])

    def use(self, name: str) -> None:
        """Mark an id as found."""
        self._table.execute("UPDATE places SET used = 1 WHERE id = ?", (name,))

    def unused(self) -> Iterator[str]:
        """Ids that were never marked."""
        for (name,) in self._table.execute("SELECT id FROM places WHERE used = 0 ORDER BY id"):
            yield str(name)
