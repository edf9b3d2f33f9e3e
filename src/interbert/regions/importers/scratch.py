"""What an import must remember of millions of rows, on disk instead of in memory."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator


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
