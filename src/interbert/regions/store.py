"""Regions on disk: a Lance data set with random access and atomic appends.

One row per view of an image, images with any numbers of regions; :mod:`interbert.regions.layout` has the columns.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from interbert.errors import ConfigError, InterBertError, RegionError, StoreError, writing
from interbert.regions.conversion import captions_of, regions_of, to_table
from interbert.regions.layout import ID_COLUMN, RowLayout
from interbert.regions.schema import CaptionRow, ExtractorInfo, RegionReader, RegionRecord, Regions


@contextmanager
def panics_as_errors() -> Iterator[None]:
    """Turn a panic, which is no ``Exception`` and would end the program, into a ValueError."""
    try:
        yield
    except BaseException as error:
        if type(error).__name__ != "PanicException":
            raise
        raise ValueError(str(error)) from error


_LANCE_FOLDERS = ("data", "_versions", "_transactions")


def is_store(path: str | Path) -> bool:
    """Whether ``path`` is a Lance data set; of a URI its bucket is asked."""
    if "://" not in str(path):
        return any(Path(path, "_versions").glob("*.manifest"))
    import lance

    try:
        lance.dataset(str(path))
    except (OSError, ValueError):
        return False
    return True


def make_room(path: str | Path) -> None:
    """Check that a store may be created here, and clear what a first write left that was killed before its commit.

    Raises:
        StoreError: there is a store already, or something else.
    """
    if is_store(path):
        raise StoreError(f"{path}: there is a store already.")
    folder = Path(path)
    if any(parent.exists() and not parent.is_dir() for parent in (folder, *folder.parents)):
        raise StoreError(f"{path}: is a file, or lies below one. Name a folder.")
    if folder.exists() and any(folder.iterdir()):
        if not _is_unfinished(folder):
            raise StoreError(f"{path}: the folder is not empty and is no region store. Name another folder.")
        clear(folder)


def clear(folder: Path) -> None:
    """Remove what Lance wrote, and nothing else."""
    for name in _LANCE_FOLDERS:
        shutil.rmtree(folder / name, ignore_errors=True)


def _is_unfinished(folder: Path) -> bool:
    """Whether a folder holds nothing but what lance writes before its first commit."""
    written = [file for file in folder.rglob("*") if not file.is_dir()]
    return all(one.name in _LANCE_FOLDERS for one in folder.iterdir()) and not any(
        file.suffix != ".lance" for file in written if "data" in file.relative_to(folder).parts
    )


_REMEDY = "It is damaged: remove the folder and extract the images again."
_PARTS_REMEDY = "It is damaged: interbert regions verify {path} says which rows; else extract the images again."
_ABSENT = "{path}: there is no region store. Make one with: interbert extract SOURCE {path}"


class RegionStore(RegionReader):
    """A store opened for reading and appending; safe to hand to worker processes (each opens its own handle)."""

    def __init__(self, path: str | Path) -> None:
        self.path = self.folder = str(path)
        self._handle: Any = None
        self._owner: int | None = None
        self.layout = RowLayout.of(self.dataset().schema, self.path)
        self.info = self.layout.info

    @classmethod
    def open(cls, path: str | Path) -> RegionStore:
        """Open an existing store.

        Raises:
            StoreError: it is missing or damaged.
        """
        return cls(path)

    @classmethod
    def create(cls, path: str | Path, info: ExtractorInfo, top_k_classes: int | None = None) -> RegionStore:
        """Create an empty store.

        Args:
            path: folder or URI.
            info: who extracts.
            top_k_classes: keep so many classes of each region and the remainder; None keeps whole distributions.

        Raises:
            StoreError: there is one already.
            ConfigError: ``top_k_classes`` does not fit the extractor.
            StorageError: the disk is full or not writable.
        """
        import lance

        layout = RowLayout.new(info, top_k_classes)
        make_room(path)
        with writing(path):
            lance.write_dataset(layout.schema.empty_table(), str(path), schema=layout.schema)
        return cls(path)

    @classmethod
    def open_or_create(cls, path: str | Path, info: ExtractorInfo, top_k_classes: int | None = None) -> RegionStore:
        """Open a store that this extractor made, or create it.

        Args:
            path: folder or URI.
            info: who extracts.
            top_k_classes: as in :meth:`create`; None takes an existing store as it is.

        Raises:
            StoreError: another extractor made it.
            ConfigError: it keeps another number of classes than ``top_k_classes``.
        """
        if not is_store(path):
            return cls.create(path, info, top_k_classes)
        store = cls(path)
        kept = store.layout.top_k_classes
        differs = store.info.fingerprint != info.fingerprint or top_k_classes not in (None, kept)
        if "://" not in store.path and differs and not len(store):
            clear(Path(path))  # an extraction that failed before its first image
            (Path(path) / "skipped.jsonl").unlink(missing_ok=True)
            return cls.create(path, info, top_k_classes)
        store.require(info)
        if top_k_classes not in (None, kept):
            has = "whole class distributions" if kept is None else f"the {kept} most probable classes"
            raise ConfigError(
                f"{path}: has {has} of each region, asked for {top_k_classes}. Leave --top-k-classes out, or extract "
                "into another folder."
            )
        return store

    def __len__(self) -> int:
        with self.reading():
            return int(self.dataset().count_rows())

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_handle": None, "_owner": None}

    @property
    def fingerprint(self) -> str:
        """Identifies the data: extractor, number of rows and version."""
        return f"{self.info.fingerprint}-{len(self)}-{self.dataset().version}"

    def append(self, records: Sequence[RegionRecord]) -> None:
        """Add rows in one atomic commit: after a crash all of them are there or none.

        Raises:
            StorageError: the disk is full or not writable; the store stays as it was.
        """
        self.append_table(to_table(records, self.layout))

    def append_table(self, table: Any) -> None:
        """Add rows that :func:`~interbert.regions.conversion.to_table` made for this store's layout; as :meth:`append`.

        Raises:
            StorageError: the disk is full or not writable; the store stays as it was.
        """
        import lance

        if not table.num_rows:
            return
        with writing(self.path):
            lance.write_dataset(table, self.path, mode="append")
        self._handle = None

    def remove(self, rows: Sequence[int]) -> None:
        """Take rows out, in one atomic commit; the rows after them move up. Their bytes stay on disk.

        Raises:
            StorageError: the disk is full or not writable; the store stays as it was.
        """
        if not rows:
            return
        dataset = self.dataset()
        with self.reading():
            ids = dataset.scanner(columns=[], with_row_id=True).to_table()["_rowid"].to_numpy()
        chosen = ", ".join(str(ids[row]) for row in rows)
        with writing(self.path):
            dataset.delete(f"_rowid in ({chosen})")
        self._handle = None

    def existing_keys(self) -> set[tuple[str, int]]:
        """(image_id, view) of every row."""
        with self.reading():
            table = self.dataset().to_table(columns=[ID_COLUMN, "view"])
            return set(zip(table[ID_COLUMN].to_pylist(), table["view"].to_pylist(), strict=True))

    def captions(self) -> Iterator[CaptionRow]:
        """Every row without its regions, one after the other: millions need not be there at once.

        Raises:
            StoreError: the store is damaged, or a row is not what was written.
        """
        start = 0
        with self.reading():
            for batch in self.dataset().to_batches(columns=self.layout.text_columns):
                yield from captions_of(batch, start, self.layout, self.path)
                start += len(batch)

    def take(self, rows: Sequence[int]) -> list[Regions]:
        """Regions of rows, in the asked order.

        Raises:
            RegionError: a row holds values that are not finite.
            StoreError: the store is damaged, or a row is not what was written.
        """
        wanted = np.asarray(rows, dtype=np.int64)
        unique, inverse = np.unique(wanted, return_inverse=True)
        with self.reading():
            table = self.dataset().take(unique.tolist(), columns=self.layout.region_columns)
            images = regions_of(table, unique.tolist(), self.layout, self.path)
        return [images[index] for index in inverse]

    @contextlib.contextmanager
    def reading(self) -> Iterator[None]:
        """Turn what goes wrong while the block reads into a :class:`StoreError`."""
        try:
            with panics_as_errors():
                yield
        except (InterBertError, MemoryError):
            raise
        except Exception as error:  # lance and pyarrow raise whatever they like on damaged files
            raise self._damaged(error) from error

    def _damaged(self, error: BaseException) -> StoreError:
        return StoreError(f"{self.path}: cannot be read ({_first_line(error)}). {_PARTS_REMEDY.format(path=self.path)}")

    def dataset(self) -> Any:
        """The Lance data set, opened once in each process.

        Raises:
            StoreError: it is missing or damaged.
        """
        import lance

        if self._handle is None or self._owner != os.getpid():
            if "://" not in self.path and not is_store(self.path):
                raise StoreError(_ABSENT.format(path=self.path))
            try:
                with panics_as_errors():
                    handle = lance.dataset(self.path)
                    _ = handle.schema  # damage of the manifest shows here, not in opening it
                self._handle = handle
            except (OSError, ValueError) as error:
                if "not found" in str(error) and "://" in self.path:
                    raise StoreError(_ABSENT.format(path=self.path)) from error
                raise StoreError(f"{self.path}: cannot be opened ({_first_line(error)}). {_REMEDY}") from error
            self._owner = os.getpid()
        return self._handle


def _first_line(error: BaseException) -> str:
    line = (str(error).splitlines() or [type(error).__name__])[0]
    return re.sub(r",? ?\S*\.rs:\d+(:\d+)?", "", line)[:200]  # where in lance's own source it went wrong


__all__ = ["CaptionRow", "ExtractorInfo", "RegionError", "RegionRecord", "RegionStore", "Regions", "is_store"]
