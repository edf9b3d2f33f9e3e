"""Rows of a store to Arrow tables and back."""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from interbert.errors import StoreError
from interbert.regions.layout import REGIONS_CHECKSUM, ROW_CHECKSUM, SIZE_COLUMNS, TEXT_COLUMNS, TEXT_FIELDS, RowLayout
from interbert.regions.schema import CaptionRow, RegionRecord, Regions


def most_probable(class_probs: NDArray[Any], k: int) -> tuple[NDArray[np.uint16], NDArray[np.float16]]:
    """Keep K classes of each region; among equals the lower class id.

    Args:
        class_probs: [N,C], not negative; rounded to float16 first, so that any machine keeps the same classes.
        k: below C, which is at most 65,536.

    Returns:
        class ids [N,K], best first, and shares [N,K+1]: their probabilities, then the remainder.
    """
    rounded = np.abs(np.asarray(class_probs, dtype=np.float16))  # no negative zero: bits are compared below
    classes = rounded.shape[1]
    # one number per class that sorts by probability, then by id: a float16 above 0 sorts as its bits do
    order = (rounded.view(np.uint16).astype(np.uint32) << 16) | (0xFFFF - np.arange(classes, dtype=np.uint32))
    kept = -np.sort(-np.partition(order, classes - k, axis=1)[:, classes - k :].astype(np.int64), axis=1)
    shares = (kept >> 16).astype(np.uint16).view(np.float16)
    rest = rounded.sum(axis=1, dtype=np.float64) - shares.sum(axis=1, dtype=np.float64)
    ids = (0xFFFF - (kept & 0xFFFF)).astype(np.uint16)
    return ids, np.concatenate([shares, rest.clip(min=0)[:, None].astype(np.float16)], axis=1)


def spread(class_ids: NDArray[np.uint16], shares: NDArray[np.float16], classes: int) -> NDArray[np.float16]:
    """Distributions [N,C] from kept classes [N,K] and shares [N,K+1]: the remainder evenly over all others."""
    kept = class_ids.shape[1]
    each = (shares[:, -1:].astype(np.float32) / (classes - kept)).astype(np.float16)
    whole = np.repeat(each, classes, axis=1)
    np.put_along_axis(whole, class_ids.astype(np.int64), shares[:, :-1], axis=1)
    return whole


def regions_checksum(width: int, height: int, arrays: Sequence[NDArray[Any] | None]) -> int:
    """Of a row's regions.

    Args:
        width: of the image, pixels.
        height: of the image, pixels.
        arrays: boxes, features and class columns as stored, in the layout's order; None where there is null.
    """
    from xxhash import xxh3_64

    total = xxh3_64(struct.pack("<ii", width, height))
    for values in arrays:
        total.update(struct.pack("<q", -1 if values is None else len(values)))
        if values is not None and values.size:
            total.update(values.data)
    return int(total.intdigest())


def row_checksum(row: Sequence[Any], regions: int) -> int:
    """Of a row's other columns, and of the checksum of its regions, which ties the two together.

    Args:
        row: values of the text columns, in the layout's order.
        regions: checksum of the row's regions.
    """
    from xxhash import xxh3_64_intdigest

    return int(xxh3_64_intdigest(json.dumps([*row, regions], ensure_ascii=False).encode()))


_LISTS = ("texts", "text_fields")
_INTEGERS = ("view", "source_row")
_ARRAYS = {
    "boxes": np.float32,
    "features": np.float16,
    "class_probs": np.float16,
    "class_ids": np.uint16,
    "class_shares": np.float16,
}

Arrays = dict[str, NDArray[Any] | None]


def to_table(records: Sequence[RegionRecord], layout: RowLayout) -> Any:
    """Records as an Arrow table of a store's layout."""
    import pyarrow as pa

    texts = [_text_values(record) for record in records]
    arrays = [_stored_arrays(record.regions, layout) for record in records]
    columns: dict[str, list[Any]] = {name: [row[name] for row in texts] for name in TEXT_COLUMNS}
    columns |= {name: [int(getattr(record.regions, name)) for record in records] for name in SIZE_COLUMNS}
    if layout.checksums:
        sums = [
            regions_checksum(width, height, list(one.values()))
            for width, height, one in zip(columns["width"], columns["height"], arrays, strict=True)
        ]
        columns[REGIONS_CHECKSUM] = sums
        columns[ROW_CHECKSUM] = [row_checksum(list(row.values()), own) for row, own in zip(texts, sums, strict=True)]
    schema = layout.schema
    made = [
        _nested([one[field.name] for one in arrays], field.type)
        if field.name in _ARRAYS
        else pa.array(columns[field.name], field.type)
        for field in schema
    ]
    return pa.Table.from_arrays(made, schema=schema)


def regions_of(table: Any, rows: Sequence[int], layout: RowLayout, where: str) -> list[Regions]:
    """Regions of a table that holds a layout's region columns.

    Args:
        table: as read.
        rows: store row of each of its rows, for messages.
        layout: the store's.
        where: the store, for messages.

    Raises:
        StoreError: a row is not what was written.
        RegionError: a row's values are impossible.
    """
    names = [name for name in layout.region_columns if name in _ARRAYS]
    columns = {name: ragged(table[name]) for name in names}
    sizes = [table[name].to_pylist() for name in SIZE_COLUMNS]
    sums = table[REGIONS_CHECKSUM].to_pylist() if layout.checksums else None
    found = []
    for place, (row, width, height) in enumerate(zip(rows, *sizes, strict=True)):
        arrays: Arrays = {name: columns[name][place] for name in names}
        if sums is not None and regions_checksum(width, height, list(arrays.values())) != sums[place]:
            raise damaged(where, row, "regions")
        regions = Regions(
            boxes=_present(arrays["boxes"], 4),
            features=_present(arrays["features"], layout.info.feature_size),
            class_probs=_class_probs(arrays, layout),
            width=width,
            height=height,
        )
        found.append(regions.validate(f"{where}, row {row}"))
    return found


def captions_of(batch: Any, start: int, layout: RowLayout, where: str) -> Iterator[CaptionRow]:
    """Rows of a batch that holds a layout's text columns, numbered from ``start``.

    Raises:
        StoreError: a row is not what was written.
    """
    columns = [batch.column(name).to_pylist() for name in TEXT_COLUMNS]
    sums = [batch.column(name).to_pylist() for name in (ROW_CHECKSUM, REGIONS_CHECKSUM)] if layout.checksums else None
    for place, values in enumerate(zip(*columns, strict=True)):
        if sums is not None and row_checksum(values, sums[1][place]) != sums[0][place]:
            raise damaged(where, start + place, "texts or ids")
        row = dict(zip(TEXT_FIELDS, values, strict=True))
        yield CaptionRow(start + place, **(row | {name: tuple(row[name]) for name in _LISTS}))


def damaged(where: str, row: int, what: str) -> StoreError:
    """The error of a row whose checksum does not fit."""
    return StoreError(
        f"{where}, row {row}: its {what} are not what was written (checksum). "
        f"Find all such rows, and take them out, with: interbert regions verify {where}"
    )


def ragged(column: Any) -> list[NDArray[Any] | None]:
    """An Arrow column of lists of fixed width as one array [N,width] per row, None where there is null."""
    images: list[NDArray[Any] | None] = []
    for chunk in column.chunks:
        width = chunk.type.value_type.list_size
        numbers = chunk.values.values.to_numpy(zero_copy_only=False).reshape(-1, width)
        # a sliced inner list keeps its parent's values
        numbers = numbers[chunk.values.offset :] if chunk.values.offset else numbers
        offsets = chunk.offsets.to_numpy()
        valid = chunk.is_valid().to_numpy(zero_copy_only=False)
        for row in range(len(chunk)):
            images.append(numbers[offsets[row] : offsets[row + 1]] if valid[row] else None)
    return images


def _text_values(record: RegionRecord) -> dict[str, Any]:
    """Plain values of the text columns, in their order."""
    fields = zip(TEXT_COLUMNS, TEXT_FIELDS, strict=True)
    plain = {name: getattr(record, field) for name, field in fields}
    return plain | {name: list(plain[name]) for name in _LISTS} | {name: int(plain[name]) for name in _INTEGERS}


def _stored_arrays(regions: Regions, layout: RowLayout) -> Arrays:
    """The nested columns of one row as they are stored, in the layout's order."""
    arrays: Arrays = {"boxes": regions.boxes, "features": regions.features, "class_probs": regions.class_probs}
    if layout.top_k_classes is not None:
        whole = arrays.pop("class_probs")
        arrays |= {"class_ids": None, "class_shares": None}
        if whole is not None:
            arrays["class_ids"], arrays["class_shares"] = most_probable(whole, layout.top_k_classes)
    return {
        name: None if values is None else np.ascontiguousarray(values, dtype=_ARRAYS[name])
        for name, values in arrays.items()
    }


def _nested(values: Sequence[NDArray[Any] | None], kind: Any) -> Any:
    """Ragged [N,width] arrays as one Arrow column, without a Python object per number."""
    import pyarrow as pa

    width = kind.value_type.list_size
    lengths = [0 if value is None else len(value) for value in values]
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32)
    present = [value.reshape(-1) for value in values if value is not None]
    flat = np.concatenate(present) if present else np.empty(0, dtype=kind.value_type.value_type.to_pandas_dtype())
    inner = pa.FixedSizeListArray.from_arrays(pa.array(flat), width)
    mask = pa.array([value is None for value in values], pa.bool_())
    return pa.ListArray.from_arrays(pa.array(offsets), inner, type=kind, mask=mask)


def _present(values: NDArray[Any] | None, width: int) -> NDArray[Any]:
    return np.empty((0, width), dtype=np.float32) if values is None else values


def _class_probs(arrays: Arrays, layout: RowLayout) -> NDArray[Any] | None:
    if layout.top_k_classes is None:
        return arrays["class_probs"]
    ids, shares = arrays["class_ids"], arrays["class_shares"]
    if ids is None or shares is None:
        return None
    assert layout.info.num_classes is not None
    return spread(ids, shares, layout.info.num_classes)
