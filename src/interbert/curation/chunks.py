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
BYTES = 1 << 25
"""Of a chunk with images, in the mean: it has fewer rows where they are large. Every worker has some at a time."""


def chunks_of(listing: SourceListing) -> list[Chunk]:
    """All chunks of a source, in its order."""
    has_images = listing.columns.image is not None
    return [
        Chunk(number, start, min(size, end - start), first + start)
        for number, (shard, first) in enumerate(zip(listing.shards, starts(listing.shards), strict=True))
        for begin, end in ((0, shard.sound), (shard.sound, shard.rows))
        for size in (max(1, min(IMAGES, BYTES // max(1, shard.row_bytes))) if has_images else TITLES,)
        for start in range(begin, end, size)
    ]


def read_cells(opened: OpenShards, listing: SourceListing, chunk: Chunk, names: Sequence[str]) -> ChunkCells:
    """Some columns of a chunk; those that its shard lacks are not among them.

    Raises:
        SourceError: the shard could be read before, and cannot now.
    """
    shard = listing.shards[chunk.shard]
    if chunk.start >= shard.sound:
        first = chunk.start - shard.sound
        problems = shard.problems[first : first + chunk.rows] if len(shard.problems) == shard.lost else shard.problems
        return ChunkCells(chunk, shard.name, None, problems)
    source = opened.rows(chunk.shard)
    rows, end = source.rows, chunk.start + chunk.rows
    there = [name for name in names if name in rows.column_names]
    cells: bytes | dict[str, list[Any]]
    if is_archive(rows):
        cells = rows.select_columns(there)[chunk.start : end]
    else:
        cells = _stream(rows.select_columns(there).with_format("arrow")[chunk.start : end])
    path = opened.shards[chunk.shard].path
    return ChunkCells(chunk, shard.name, cells, folder=source.folder, source=path, prefix=shard.prefix)


def _stream(table: Any) -> bytes:
    """Arrow's stream of a slice, without the rows around it, as pickling would take along."""
    import pyarrow as pa

    sink = io.BytesIO()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return sink.getvalue()
