"""Runs of a source's rows that are judged, or written, together; light, for the processes that judge them."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

STATUS, ERROR, SUCCESS = "status", "error_message", "success"
"""Columns of img2dataset, and what the first says of an image that was downloaded."""


@dataclass(frozen=True)
class ChosenColumns:
    """Columns of a source by what they are read for; None is not read."""

    title: str
    image: str | None = None
    id: str | None = None
    product: str | None = None
    category: str | None = None
    status: str | None = None
    """Of img2dataset: whether an image was downloaded."""
    error: str | None = None

    def judged(self) -> list[str]:
        """Columns that rules look at."""
        return list(dict.fromkeys(name for name in asdict(self).values() if name is not None))


@dataclass(frozen=True)
class Chunk:
    """Rows of one shard."""

    shard: int
    start: int
    """Its first row, counted in the shard."""
    rows: int
    first: int
    """Its first row, counted over all shards."""

    @property
    def name(self) -> str:
        """Name of the file that holds what is known of it."""
        return f"{self.shard:05d}-{self.start:010d}.parquet"


@dataclass(frozen=True)
class ChunkCells:
    """Some columns of a chunk, as they go to another process."""

    chunk: Chunk
    where: str
    """The shard, for messages."""
    cells: bytes | dict[str, list[Any]] | None
    """Arrow's stream, or values by column; None of a shard that cannot be read."""
    problem: str | None = None
    folder: Path | None = None
    """What paths of images are relative to."""
    source: str = ""

    def values(self) -> dict[str, list[Any]]:
        """Values by column."""
        import pyarrow as pa

        if isinstance(self.cells, bytes):
            found: dict[str, list[Any]] = pa.ipc.open_stream(self.cells).read_all().to_pydict()
            return found
        return self.cells or {}
