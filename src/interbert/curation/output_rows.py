"""Rows of the output: a source's own columns beside the clean title, its group and what is flagged."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from interbert.curation.cells import ChunkCells
from interbert.curation.listing import SourceListing
from interbert.curation.row_images import kept_file
from interbert.extraction.table_files import cast_column


def output_schema(listing: SourceListing) -> Any:
    """Arrow's schema of a shard, with what ``datasets`` reads of it: which column holds images."""
    import datasets
    import pyarrow as pa

    own = [("title", pa.string()), ("title_raw", pa.string()), ("id", pa.string()), ("group", pa.int64())]
    if listing.columns.category is not None:
        own.append(("category", pa.string()))
    types = listing.schema()
    further = [(new, types.field(name).type) for name, new in listing.others.items()]
    plain = pa.schema([*own, *further, ("flags", pa.list_(pa.string()))])
    features = datasets.Features.from_arrow_schema(plain)
    if listing.columns.image is not None:
        features = datasets.Features({"image": datasets.Image(), **features})
    return features.arrow_schema


def output_columns(listing: SourceListing) -> list[str]:
    """Columns of the source that the output holds."""
    image = [] if listing.columns.image is None else [listing.columns.image]
    return [*image, *listing.others]


def output_table(
    listing: SourceListing, cells: ChunkCells, judged: Any, places: NDArray[np.int64], groups: NDArray[np.int64]
) -> Any:
    """Some rows of a chunk as the output has them.

    Args:
        listing: the source.
        cells: the chunk's values of :func:`output_columns`.
        judged: the chunk's table of stage 1.
        places: [n] of the rows in the chunk.
        groups: [n] of the rows.

    Raises:
        DataError: an image that was judged is there no more.
    """
    import pyarrow as pa

    schema = output_schema(listing)
    taken = judged.take(pa.array(places))
    columns: dict[str, Any] = {name: taken[name] for name in ("title", "title_raw", "id", "flags")}
    columns |= {"group": pa.array(groups, pa.int64()), "category": taken["category"]}
    values = _columns_of(cells, places)
    if listing.columns.image is not None:
        columns["image"] = _images(values[listing.columns.image], cells, places, taken["digest"])
    for name, new in listing.others.items():
        wanted = schema.field(new).type
        column = values.get(name)
        columns[new] = pa.nulls(len(places), wanted) if column is None else _as_type(column, wanted)
    return pa.table([columns[name] for name in schema.names], schema=schema)


def _columns_of(cells: ChunkCells, places: NDArray[np.int64]) -> dict[str, Any]:
    """The chunk's columns at some rows: Arrow's arrays, or lists of an archive's values."""
    import pyarrow as pa

    if isinstance(cells.cells, bytes):
        table = pa.ipc.open_stream(cells.cells).read_all().take(pa.array(places))
        return {name: table[name] for name in table.column_names}
    return {name: [column[place] for place in places] for name, column in (cells.cells or {}).items()}


def _images(values: Any, cells: ChunkCells, places: NDArray[np.int64], digests: Any) -> Any:
    """Files of images as ``datasets`` writes them; null of a row that is kept without."""
    import pyarrow as pa

    listed = values if isinstance(values, list) else values.to_pylist()
    found: list[dict[str, Any] | None] = []
    for value, place, digest in zip(listed, places, digests.to_pylist(), strict=True):
        if digest is None:
            found.append(None)
            continue
        where = f"{cells.where}, row {cells.chunk.start + int(place)}"
        found.append({"bytes": kept_file(value, cells.folder, cells.source, where), "path": _name(value)})
    return pa.array(found, pa.struct({"bytes": pa.binary(), "path": pa.string()}))


def _name(value: Any) -> str | None:
    """Name of an image's file, without its folders."""
    path = value.get("path") if isinstance(value, dict) else value
    return Path(path).name if isinstance(path, str) else None


def _as_type(column: Any, wanted: Any) -> Any:
    """A column in the type that all shards share."""
    import pyarrow as pa

    if isinstance(column, list):
        return pa.array([_text(value) for value in column], pa.string()).cast(wanted)
    return cast_column(column, wanted)


def _text(value: Any) -> str | None:
    return value if value is None or isinstance(value, str) else str(value)


def json_columns(table: Any, row: int, names: Sequence[str]) -> dict[str, Any]:
    """Columns of a row as JSON holds them; dates and bytes as texts."""
    values = {name: table[name][row].as_py() for name in names}
    plain = (str, int, float, bool, list, dict, type(None))
    return {name: value if isinstance(value, plain) else str(value) for name, value in values.items()}
