"""What every job that fills a region store shares: commits of useful size, and the list of what could not be used."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, Protocol

from interbert.regions.schema import RegionRecord
from interbert.regions.store import RegionStore
from interbert.utils.bounded_files import json_value, reading
from interbert.utils.redaction import without_credentials

SKIPPED = "skipped.jsonl"
"""Name of the list inside the store's folder."""
_COMMIT_ROWS = 512
_COMMIT_BYTES = 1 << 28


class Listed(Protocol):
    """What a line of the list says about an image."""

    @property
    def row(self) -> int:
        """Number in its source."""

    @property
    def image_id(self) -> str:
        """Its id; empty when it has none."""


class StoreWriter:
    """Collects rows into commits of 512 rows, or of 256 MB where rows are large; one is written beside other work."""

    def __init__(self, store: RegionStore) -> None:
        self._store = store
        self._waiting: list[RegionRecord] = []
        self._bytes = 0
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="commit")
        self._commit: Future[int] | None = None
        self.written = 0
        """Rows that are in the store."""

    def add(self, records: Sequence[RegionRecord]) -> None:
        """Take rows; they are in the store after the next commit.

        Raises:
            StorageError: an earlier commit found the disk full or not writable.
        """
        self._waiting += records
        self._bytes += sum(_size(record) for record in records)
        if len(self._waiting) >= _COMMIT_ROWS or self._bytes >= _COMMIT_BYTES:
            self._settle()
            records, self._waiting, self._bytes = self._waiting, [], 0
            self._commit = self._pool.submit(self._append, records)

    def flush(self) -> None:
        """Commit what waits; all rows are in the store then.

        Raises:
            StorageError: the disk is full or not writable.
        """
        self._settle()
        records, self._waiting, self._bytes = self._waiting, [], 0
        self.written += self._append(records)

    def _append(self, records: Sequence[RegionRecord]) -> int:
        self._store.append(records)
        return len(records)

    def _settle(self) -> None:
        """Wait for the commit that is being written; after one that failed nothing is kept, so that no gap is left."""
        commit, self._commit = self._commit, None
        if commit is None:
            return
        try:
            self.written += commit.result()
        except BaseException:
            self._waiting, self._bytes = [], 0
            raise


def _size(record: RegionRecord) -> int:
    regions = record.regions
    return int(regions.features.nbytes) + (0 if regions.class_probs is None else int(regions.class_probs.nbytes))


def read_skipped(store: str | Path) -> list[tuple[str, str]]:
    """(image id, or row when it has none, and reason) of what the last run could not use; a bucket keeps no list."""
    path = Path(store) / SKIPPED
    if not path.is_file():
        return []
    with reading(path, "Remove it: the next run lists the images again."), path.open(encoding="utf-8") as lines:
        listed = (json_value(line) for line in lines if line.strip())
        return [(one["picture_id"] or f"row {one['row']}", str(one["reason"])) for one in listed]


class SkipList:
    """The images a run could not use, one JSON line each; every run tries them again and lists them anew."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("w", encoding="utf-8") if path.parent.is_dir() else None
        self.count = 0
        """Images."""
        self.notes = 0
        """Other lines."""

    def add(self, item: Listed, reason: str, place: Mapping[str, Any] | None = None) -> None:
        """List one image; ``place`` says the ``file`` and the ``line`` of its row, where they are known."""
        self.count += 1
        self._write(item, reason, place or {})

    def note(self, item: Listed, reason: str) -> None:
        """List what is not an image that could not be used, but must be said: it is counted apart."""
        self.notes += 1
        self._write(item, reason, {})

    def _write(self, item: Listed, reason: str, place: Mapping[str, Any]) -> None:
        if self._file is not None:
            # picture_id: as earlier versions called the id
            line = {**place, "row": item.row, "id": item.image_id, "picture_id": item.image_id}
            line |= {"reason": without_credentials(reason)}
            self._file.write(json.dumps(line, ensure_ascii=False) + "\n")
            self._file.flush()

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            self._file.close()
