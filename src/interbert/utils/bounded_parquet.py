"""Parquet files of others, in batches of counted bytes: what a file holds once may stand in it a billion times."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from interbert.errors import SourceError

if TYPE_CHECKING:
    from numpy.typing import NDArray

MAX_COLUMNS = 10_000
"""Columns of a table, those inside of others counted too."""
MAX_DEPTH = 60
"""Levels of lists and objects; Arrow's files end at 64."""
MAX_ROW = 1 << 28
"""Bytes of a row."""
BATCH_BYTES = 1 << 26
"""Bytes of the rows that are converted at a time."""
EXPANDED = 1 << 30
EXPANDED_TIMES = 100
"""A file may hold so many bytes of values, or so many times its own size: the larger of the two."""
_BATCH_ROWS = 1000
_REMEDY = "Split it into smaller files, or leave columns out."


def require_bounded(file: Path) -> None:
    """Check what a file's footer says: columns, levels, and values, before any of them is read.

    Raises:
        SourceError: there are more than are read.
    """
    import pyarrow.parquet as pq

    said = pq.read_metadata(file)
    if said.num_columns > MAX_COLUMNS:
        raise SourceError(f"{file}: has {said.num_columns:,} columns; at most {MAX_COLUMNS:,} are read. {_REMEDY}")
    for name, kind in ((field.name, field.type) for field in said.schema.to_arrow_schema()):
        if _is_deeper(kind, MAX_DEPTH):
            raise SourceError(f"{file}: column {name[:60]!r} is nested deeper than {MAX_DEPTH} levels. {_REMEDY}")
    groups = [said.row_group(number) for number in range(said.num_row_groups)]
    values = sum(group.column(place).num_values for group in groups for place in range(said.num_columns))
    size = sum(group.total_byte_size for group in groups)
    mean = max((group.total_byte_size // max(1, group.num_rows) for group in groups), default=0)
    if mean > MAX_ROW:
        raise SourceError(f"{file}: has a row of {mean:,} bytes; at most {MAX_ROW:,} are read. Shorten it.")
    _require_room(file, max(size, 4 * values, 8 * said.num_rows))


def _allowed(file: Path) -> int:
    return max(EXPANDED, EXPANDED_TIMES * file.stat().st_size)


def _require_room(file: Path, size: int) -> None:
    if size > _allowed(file):
        raise SourceError(
            f"{file}: its values have more than {_allowed(file):,} bytes, {EXPANDED_TIMES} times its own and more than "
            f"are read. {_REMEDY}"
        )


def _is_deeper(kind: Any, levels: int) -> bool:
    """Whether a type has more than so many levels of lists and structs."""
    if not kind.num_fields:
        return False
    return levels == 0 or any(_is_deeper(kind.field(place).type, levels - 1) for place in range(kind.num_fields))


def counted_batches(file: Path, columns: Sequence[str] | None = None) -> Iterator[Any]:
    """Record batches of at most 64 MiB (or one row), in the file's own types.

    Args:
        file: a parquet file.
        columns: to read; None reads all.

    Raises:
        SourceError: the file, or a row, expands to more than is read.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    schema = pq.read_schema(file)
    if columns is not None:
        schema = pa.schema([field for field in schema if field.name in columns])
    reader = pq.ParquetFile(file, read_dictionary=_repeated(file, schema), pre_buffer=False)
    read = expanded = 0
    groups = range(reader.num_row_groups)  # one at a time: texts inside of lists are not joined over groups
    for batch in chain.from_iterable(reader.iter_batches(_BATCH_ROWS, [group], columns) for group in groups):
        sizes = 8 + sum((_row_bytes(column) for column in batch.columns), start=np.zeros(len(batch), np.int64))
        if len(sizes) and sizes.max() > MAX_ROW:
            raise SourceError(
                f"{file}: row {read + int((sizes > MAX_ROW).argmax())} has {int(sizes.max()):,} bytes; at most "
                f"{MAX_ROW:,} are read. Shorten it, or leave it out."
            )
        read, expanded = read + len(batch), expanded + int(sizes.sum())
        _require_room(file, expanded)
        for start, end in _parts(sizes):
            part = batch.slice(start, end - start)
            cast = [
                column if column.type == field.type else column.cast(field.type)
                for column, field in zip(part.columns, schema, strict=True)
            ]
            yield pa.record_batch(cast, schema=schema)


def _repeated(file: Path, schema: Any) -> list[str]:
    """Columns of texts or bytes that are stored once and referred to, where that is not their type anyhow."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    said = pq.read_metadata(file)
    plain = {field.name for field in schema if not pa.types.is_dictionary(field.type)}
    return [
        said.schema.column(place).path
        for place in range(said.num_columns)
        if said.schema.column(place).physical_type == "BYTE_ARRAY"
        and said.schema.column(place).path.partition(".")[0] in plain
        and any(said.row_group(number).column(place).has_dictionary_page for number in range(said.num_row_groups))
    ]


def _parts(sizes: NDArray[np.int64]) -> Iterator[tuple[int, int]]:
    """Runs of rows of at most :data:`BATCH_BYTES` together, or of one row."""
    start = total = 0
    for place, size in enumerate(sizes.tolist()):
        if place > start and total + size > BATCH_BYTES:
            yield start, place
            start, total = place, 0
        total += size
    if start < len(sizes):
        yield start, len(sizes)


def _row_bytes(array: Any) -> NDArray[np.int64]:
    """Bytes of each row of a column when it is expanded, without what lists and nulls take beside."""
    import pyarrow as pa
    import pyarrow.compute as pc

    kind = array.type
    if isinstance(array, pa.ExtensionArray):
        return _row_bytes(array.storage)
    if pa.types.is_dictionary(kind):
        each: NDArray[np.int64] = np.append(_row_bytes(array.dictionary), 0)  # a null refers to nothing
        places: NDArray[np.int64] = pc.fill_null(array.indices.cast(pa.int64()), len(each) - 1).to_numpy(
            zero_copy_only=False
        )
        return each[places]
    if pa.types.is_struct(kind):
        return sum(map(_row_bytes, array.flatten()), start=np.zeros(len(array), np.int64))
    if pa.types.is_map(kind):
        return _of_lists(array, _row_bytes(array.keys) + _row_bytes(array.items))
    if pa.types.is_list(kind) or pa.types.is_large_list(kind):
        return _of_lists(array, _row_bytes(array.values))
    if pa.types.is_fixed_size_list(kind):  # its values are those of the array that it is a slice of
        members = _row_bytes(array.values.slice(array.offset * kind.list_size, len(array) * kind.list_size))
        sums: NDArray[np.int64] = members.reshape(len(array), kind.list_size).sum(axis=1)
        return sums
    if pa.types.is_string(kind) or pa.types.is_binary(kind) or pa.types.is_large_string(kind):
        lengths: NDArray[np.int64] = pc.fill_null(pc.binary_length(array), 0).cast(pa.int64()).to_numpy()
        return lengths
    return np.full(len(array), max(1, array.nbytes // max(1, len(array))), np.int64)


def _of_lists(array: Any, members: NDArray[np.int64]) -> NDArray[np.int64]:
    ends = np.concatenate(([0], np.cumsum(members)))[array.offsets.to_numpy()]
    sizes: NDArray[np.int64] = np.diff(ends)
    return sizes
