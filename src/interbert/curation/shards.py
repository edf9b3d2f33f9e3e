"""Stage 6: rows of the output into shards, each whole at its place or not there; those that are there stay.

A shard's rows and its bytes follow from the plan alone, whatever was written before a build was killed.
"""

from __future__ import annotations

import io
import json
import tarfile
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from interbert.curation.output_rows import json_columns
from interbert.errors import writing
from interbert.utils.files import replacing

SPLITS = ("train", "validation", "test")
NOT_WRITTEN = -1
_ROW_GROUP = 1000


@dataclass(frozen=True)
class PlannedShard:
    """A file of the output."""

    file: str
    split: str
    rows: int


@dataclass(frozen=True)
class ShardPlan:
    """Which row goes into which shard."""

    shards: list[PlannedShard]
    shard_of: NDArray[np.int32]
    """[N] place of each row's shard, or :data:`NOT_WRITTEN`"""


def plan_shards(splits: NDArray[np.int8], shard_rows: int, suffix: str) -> ShardPlan:
    """Rows of each split, in their order, in shards of so many.

    Args:
        splits: [N] index into :data:`SPLITS`, negative for rows that are not in the output.
        shard_rows: rows of a shard.
        suffix: of its file, such as ``.parquet``.
    """
    shards: list[PlannedShard] = []
    shard_of = np.full(len(splits), NOT_WRITTEN, dtype=np.int32)
    for number, split in enumerate(SPLITS):
        rows = np.flatnonzero(splits == number)
        for place, start in enumerate(range(0, len(rows), shard_rows)):
            part = rows[start : start + shard_rows]
            shard_of[part] = len(shards)
            shards.append(PlannedShard(f"{split}-{place:05d}{suffix}", split, len(part)))
    return ShardPlan(shards, shard_of)


class _Writer(Protocol):
    def write(self, table: Any, rows: NDArray[np.int64]) -> None:
        """Add rows with their numbers."""

    def close(self) -> None:
        """Complete the file."""


class _ParquetShard:
    def __init__(self, path: Path, schema: Any) -> None:
        import pyarrow.parquet as pq

        self._writer = pq.ParquetWriter(path, schema)

    def write(self, table: Any, rows: NDArray[np.int64]) -> None:
        self._writer.write_table(table, row_group_size=_ROW_GROUP)

    def close(self) -> None:
        self._writer.close()


class _TarShard:
    """Samples as webdataset reads them: image, title, and the other columns as JSON; without times and owners."""

    def __init__(self, path: Path, schema: Any) -> None:
        self._tar = tarfile.open(path, "w", format=tarfile.GNU_FORMAT)  # noqa: SIM115 - closed by close()
        self._others = [name for name in schema.names if name not in ("image", "title")]

    def write(self, table: Any, rows: NDArray[np.int64]) -> None:
        has_image = "image" in table.column_names
        for place, row in enumerate(rows):
            image = table["image"][place].as_py() if has_image else None
            if image is not None:
                self._add(f"{row:010d}{_suffix(image['bytes'])}", image["bytes"])
            self._add(f"{row:010d}.txt", table["title"][place].as_py().encode("utf-8"))
            others = json.dumps(json_columns(table, place, self._others), ensure_ascii=False)
            self._add(f"{row:010d}.json", others.encode("utf-8"))

    def _add(self, name: str, content: bytes) -> None:
        member = tarfile.TarInfo(name)
        member.size = len(content)
        self._tar.addfile(member, io.BytesIO(content))

    def close(self) -> None:
        self._tar.close()


class ShardWriter:
    """Writes the shards that are not there yet; rows come in their order."""

    def __init__(self, out: Path, plan: ShardPlan, schema: Any, webdataset: bool) -> None:
        self._out, self._plan, self._schema = out, plan, schema
        self._make = _TarShard if webdataset else _ParquetShard
        missing = np.array([not (out / shard.file).is_file() for shard in plan.shards], dtype=bool)
        self._wanted = np.append(missing, False)[plan.shard_of]  # the last place is NOT_WRITTEN's
        self._open: dict[int, tuple[_Writer, ExitStack]] = {}
        self._left = [shard.rows for shard in plan.shards]

    def wanted(self, start: int, end: int) -> NDArray[np.int64]:
        """Rows of a run that have to be written."""
        found: NDArray[np.int64] = start + np.flatnonzero(self._wanted[start:end])
        return found

    def write(self, rows: NDArray[np.int64], table: Any) -> None:
        """Write rows; a shard that has its last one is complete.

        Raises:
            StorageError: the disk is full or not writable; shards that are complete stay.
        """
        for shard in np.unique(self._plan.shard_of[rows]):
            places = np.flatnonzero(self._plan.shard_of[rows] == shard)
            self._write(int(shard), table.take(places), rows[places])

    def _write(self, shard: int, table: Any, rows: NDArray[np.int64]) -> None:
        path = self._out / self._plan.shards[shard].file
        with writing(path):
            if shard not in self._open:
                stack = ExitStack()
                part = stack.enter_context(replacing(path))
                self._open[shard] = self._make(part, self._schema), stack
            writer, stack = self._open[shard]
            writer.write(table, rows)
            self._left[shard] -= len(rows)
            if not self._left[shard]:
                del self._open[shard]
                with stack:
                    writer.close()

    def __enter__(self) -> ShardWriter:
        return self

    def __exit__(self, *error: object) -> None:
        """Remove what is written of shards that are not complete, after an error."""
        for writer, stack in self._open.values():
            with suppress(Exception):  # the error that ends the block says what is wrong
                writer.close()
            with suppress(BaseException):
                stack.__exit__(*error)  # type: ignore[arg-type]
        self._open.clear()


def _suffix(image: bytes) -> str:
    """Suffix of an image's file by its first bytes."""
    signatures = {
        b"\x89PNG": ".png",
        b"GIF8": ".gif",
        b"RIFF": ".webp",
        b"BM": ".bmp",
        b"II*\0": ".tif",
        b"MM\0*": ".tif",
    }
    return next((suffix for begin, suffix in signatures.items() if image.startswith(begin)), ".jpg")
