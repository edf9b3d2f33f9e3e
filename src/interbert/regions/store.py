"""Regions on disk: a Lance data set with random access and atomic appends.

One row per view of a picture. Features are ``list<fixed_size_list<float16, F>>``, so pictures may have different
numbers of regions. Who extracted them stands in the schema's metadata.
"""

from __future__ import annotations

import contextlib
import re
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from interbert.errors import InterBertError, RegionError, StoreError, writing
from interbert.regions.panics import panics_as_errors
from interbert.regions.reader import RegionReader
from interbert.regions.schema import CaptionRow, ExtractorInfo, RegionRecord, Regions

_REMEDY = "It is damaged: remove the folder and extract the pictures again."
_ABSENT = "{path}: there is no region store. Make one with: interbert extract SOURCE {path}"
_METADATA_KEY = b"interbert.extractor"
_LANCE_FOLDERS = ("data", "_versions", "_transactions")
_LIGHT_COLUMNS = ["picture_id", "product_id", "digest", "view", "source_row", "texts", "text_fields"]
_REGION_COLUMNS = ["width", "height", "boxes", "features", "class_probs"]


class RegionStore(RegionReader):
    """A store opened for reading and appending; safe to hand to worker processes (each opens its own handle)."""

    def __init__(self, path: str | Path) -> None:
        self.path = self.folder = str(path)
        self._handle: Any = None
        self._owner: int | None = None
        dataset = self._dataset()
        metadata = dataset.schema.metadata or {}
        if _METADATA_KEY not in metadata:
            raise StoreError(f"{self.path}: is a Lance data set but not a region store.")
        try:
            self.info = ExtractorInfo.from_json(metadata[_METADATA_KEY].decode())
        except (ValueError, KeyError, TypeError) as error:
            raise StoreError(f"{self.path}: does not say who extracted it. {_REMEDY}") from error
        lacking = sorted({*_LIGHT_COLUMNS, *_REGION_COLUMNS} - set(dataset.schema.names))
        if lacking:
            raise StoreError(f"{self.path}: has no column {lacking[0]!r}. {_REMEDY}")

    @classmethod
    def open(cls, path: str | Path) -> RegionStore:
        """Open an existing store.

        Raises:
            StoreError: it is missing or damaged.
        """
        return cls(path)

    @classmethod
    def create(cls, path: str | Path, info: ExtractorInfo) -> RegionStore:
        """Create an empty store.

        Raises:
            StoreError: there is one already.
            StorageError: the disk is full or not writable.
        """
        import lance

        if is_store(path):
            raise StoreError(f"{path}: there is a store already.")
        folder = Path(path)
        if any(parent.exists() and not parent.is_dir() for parent in (folder, *folder.parents)):
            raise StoreError(f"{path}: is a file, or lies below one. Name a folder.")
        if folder.exists() and any(folder.iterdir()):
            if not _is_unfinished(folder):
                raise StoreError(f"{path}: the folder is not empty and is no region store. Name another folder.")
            for name in _LANCE_FOLDERS:  # a first write that was killed before its commit
                shutil.rmtree(folder / name, ignore_errors=True)
        schema = _schema(info)
        with writing(path):
            lance.write_dataset(schema.empty_table(), str(path), schema=schema)
        return cls(path)

    @classmethod
    def open_or_create(cls, path: str | Path, info: ExtractorInfo) -> RegionStore:
        """Open a store that this extractor made, or create it.

        Raises:
            StoreError: another extractor made it.
        """
        if not is_store(path):
            return cls.create(path, info)
        store = cls(path)
        if "://" not in store.path and not len(store) and store.info.fingerprint != info.fingerprint:
            for name in _LANCE_FOLDERS:  # an extraction that failed before its first picture
                shutil.rmtree(Path(path) / name, ignore_errors=True)
            (Path(path) / "skipped.jsonl").unlink(missing_ok=True)
            return cls.create(path, info)
        store.require(info)
        return store

    def __len__(self) -> int:
        with self._reading():
            return int(self._dataset().count_rows())

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_handle": None, "_owner": None}

    @property
    def fingerprint(self) -> str:
        """Identifies the data: extractor, number of rows and version."""
        dataset = self._dataset()
        return f"{self.info.fingerprint}-{dataset.count_rows()}-{dataset.version}"

    def append(self, records: Sequence[RegionRecord]) -> None:
        """Add rows in one atomic commit.

        Raises:
            StorageError: the disk is full or not writable; rows committed before stay.
        """
        import lance

        if not records:
            return
        table = _to_table(records, _schema(self.info))
        with writing(self.path):
            lance.write_dataset(table, self.path, mode="append")
        self._handle = None

    def existing_keys(self) -> set[tuple[str, int]]:
        """(picture_id, view) of every row."""
        table = self._table(["picture_id", "view"])
        return set(zip(table["picture_id"].to_pylist(), table["view"].to_pylist(), strict=True))

    def captions(self) -> Iterator[CaptionRow]:
        """Every row without its regions, one after the other: millions need not be there at once."""
        start = 0
        with self._reading():
            for batch in self._dataset().to_batches(columns=_LIGHT_COLUMNS):
                columns = [batch.column(name).to_pylist() for name in _LIGHT_COLUMNS]
                for index, values in enumerate(zip(*columns, strict=True), start):
                    row = dict(zip(_LIGHT_COLUMNS, values, strict=True))
                    lists = {name: tuple(row[name]) for name in ("texts", "text_fields")}
                    yield CaptionRow(index, **(row | lists))
                start += len(batch)

    def take(self, rows: Sequence[int]) -> list[Regions]:
        """Regions of rows, in the asked order.

        Raises:
            RegionError: a row holds values that are not finite.
            StoreError: the store is damaged.
        """
        wanted = np.asarray(rows, dtype=np.int64)
        unique, inverse = np.unique(wanted, return_inverse=True)
        with self._reading():
            table = self._dataset().take(unique.tolist(), columns=_REGION_COLUMNS)
        pictures = [self._regions(row, int(unique[offset])) for offset, row in enumerate(_rows(table))]
        return [pictures[index] for index in inverse]

    @contextlib.contextmanager
    def _reading(self) -> Iterator[None]:
        try:
            with panics_as_errors():
                yield
        except InterBertError:
            raise
        except (OSError, ValueError) as error:
            raise StoreError(f"{self.path}: cannot be read ({_first_line(error)}). {_REMEDY}") from error

    def _table(self, columns: list[str]) -> Any:
        with self._reading():
            return self._dataset().to_table(columns=columns)

    def _regions(self, row: dict[str, Any], index: int) -> Regions:
        return Regions(**row).validate(f"{self.path}, row {index}")

    def _dataset(self) -> Any:
        import os

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


def _is_unfinished(folder: Path) -> bool:
    """Whether a folder holds nothing but what lance writes before its first commit."""
    written = [file for file in folder.rglob("*") if not file.is_dir()]
    return all(one.name in _LANCE_FOLDERS for one in folder.iterdir()) and not any(
        file.suffix != ".lance" for file in written if "data" in file.relative_to(folder).parts
    )


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


def _schema(info: ExtractorInfo) -> Any:
    import pyarrow as pa

    features = pa.list_(pa.list_(pa.float16(), info.feature_size))
    # without a class distribution the column holds nulls; its width must still be positive
    classes = pa.list_(pa.list_(pa.float16(), info.num_classes or 1))
    fields = [
        ("picture_id", pa.string()),
        ("product_id", pa.string()),
        ("digest", pa.string()),
        ("view", pa.int8()),
        ("source_row", pa.int64()),
        ("texts", pa.list_(pa.string())),
        ("text_fields", pa.list_(pa.string())),
        ("width", pa.int32()),
        ("height", pa.int32()),
        ("boxes", pa.list_(pa.list_(pa.float32(), 4))),
        ("features", features),
        ("class_probs", classes),
    ]
    return pa.schema(fields, metadata={_METADATA_KEY: info.to_json().encode()})


def _to_table(records: Sequence[RegionRecord], schema: Any) -> Any:
    import pyarrow as pa

    columns: dict[str, Any] = {
        name: [getattr(record, name) for record in records] for name in ("picture_id", "product_id", "digest")
    }
    columns |= {name: [getattr(record, name) for record in records] for name in ("view", "source_row")}
    columns |= {name: [list(getattr(record, name)) for record in records] for name in ("texts", "text_fields")}
    columns |= {name: [getattr(record.regions, name) for record in records] for name in ("width", "height")}
    arrays = [pa.array(columns[name], schema.field(name).type) for name in columns]
    for name, dtype in (("boxes", np.float32), ("features", np.float16), ("class_probs", np.float16)):
        values = [getattr(record.regions, name) for record in records]
        arrays.append(_nested(values, schema.field(name).type, dtype))
    return pa.Table.from_arrays(arrays, schema=schema)


def _nested(values: Sequence[NDArray[Any] | None], kind: Any, dtype: Any) -> Any:
    """Ragged [N,width] arrays as one Arrow column, without a Python object per number."""
    import pyarrow as pa

    width = kind.value_type.list_size
    lengths = [0 if value is None else len(value) for value in values]
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32)
    present = [np.ascontiguousarray(value, dtype=dtype).reshape(-1) for value in values if value is not None]
    flat = np.concatenate(present) if present else np.empty(0, dtype=dtype)
    inner = pa.FixedSizeListArray.from_arrays(pa.array(flat), width)
    mask = pa.array([value is None for value in values])
    return pa.ListArray.from_arrays(pa.array(offsets), inner, type=kind, mask=mask)


def _rows(table: Any) -> list[dict[str, Any]]:
    sizes = {name: table[name].to_pylist() for name in ("width", "height")}
    arrays = {name: _ragged(table[name]) for name in ("boxes", "features", "class_probs")}
    return [{name: values[row] for name, values in (sizes | arrays).items()} for row in range(table.num_rows)]


def _ragged(column: Any) -> list[NDArray[Any] | None]:
    pictures: list[NDArray[Any] | None] = []
    for chunk in column.chunks:
        width = chunk.type.value_type.list_size
        numbers = chunk.values.values.to_numpy(zero_copy_only=False).reshape(-1, width)
        # a sliced inner list keeps its parent's values
        numbers = numbers[chunk.values.offset :] if chunk.values.offset else numbers
        offsets = chunk.offsets.to_numpy()
        valid = chunk.is_valid().to_numpy(zero_copy_only=False)
        for row in range(len(chunk)):
            pictures.append(numbers[offsets[row] : offsets[row + 1]] if valid[row] else None)
    return pictures


def _first_line(error: BaseException) -> str:
    line = (str(error).splitlines() or [type(error).__name__])[0]
    return re.sub(r",? ?\S*\.rs:\d+(:\d+)?", "", line)[:200]  # where in lance's own source it went wrong


__all__ = ["CaptionRow", "ExtractorInfo", "RegionError", "RegionRecord", "RegionStore", "Regions", "is_store"]
