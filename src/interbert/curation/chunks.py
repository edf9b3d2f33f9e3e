"""A source in chunks, and the cells of each."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any

from interbert.curation.cells import Chunk, ChunkCells
from interbert.curation.listing import SourceListing, starts
from interbert.curation.shards_of_source import OpenShards, is_archive

TITLES, IMAGES = 20_000, 500
"""Rows of a chunk without and with images: some megabytes, some seconds of work."""


def chunks_of(listing: SourceListing) -> list[Chunk]:
    """All chunks of a source, in its order."""
    size = TITLES if listing.columns.image is None else IMAGES
    return [
        Chunk(number, start, min(size, shard.rows - start), first + start)
        for number, (shard, first) in enumerate(zip(listing.shards, starts(listing.shards), strict=True))
        for start in range(0, shard.rows, size)
    ]


def read_cells(opened: OpenShards, listing: SourceListing, chunk: Chunk, names: Sequence[str]) -> ChunkCells:
    """Some columns of a chunk; those that its shard lacks are not among them.

    Raises:
        SourceError: the shard could be read before, and cannot now.
    """
    shard = listing.shards[chunk.shard]
    if shard.problem is not None:
        return ChunkCells(chunk, shard.name, None, shard.problem)
    source = opened.rows(chunk.shard)
    rows, end = source.rows, chunk.start + chunk.rows
    there = [name for name in names if name in rows.column_names]
    cells: bytes | dict[str, list[Any]]
    if is_archive(rows):
        cells = rows.select_columns(there)[chunk.start : end]
    else:
        cells = _stream(rows.select_columns(there).with_format("arrow")[chunk.start : end])
    return ChunkCells(chunk, shard.name, cells, folder=source.folder, source=opened.shards[chunk.shard].path)


def _stream(table: Any) -> bytes:
    """Arrow's stream of a slice, without the rows around it, as pickling would take along."""
    import pyarrow as pa

    sink = io.BytesIO()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return sink.getvalue()
