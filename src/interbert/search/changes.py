"""Changes of an index that is there: add, bring up to date, remove.

An image whose file is the same is never encoded again (:mod:`interbert.search.source_changes`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from interbert.errors import SourceError, UsageError
from interbert.extraction.columns import ColumnMapping
from interbert.extraction.sources import ImageSource
from interbert.extraction.tables import read_rows
from interbert.search.casting import cast_columns
from interbert.search.columns import flat
from interbert.search.index import ProductIndex
from interbert.search.index_model import index_encoder
from interbert.search.manifest import Manifest
from interbert.search.products import find_images, identified, places_of
from interbert.search.source_changes import Changes, write_source
from interbert.search.suggestions import filter_notes, staying_note, unknown_ids
from interbert.search.writer import IndexWriter
from interbert.utils.files import only_writer

_OVERRULED = "each of its images stands in a row of its own, too, which counts"

OpenSource = Callable[[Manifest], ImageSource]
"""Opens a source by the columns that an index was built from.

All of an index is read while its folder is held: a build that another command completes before that takes the place of
the one that is known, and what is written to that one is gone.
"""


def add_to_index(
    path: str | Path,
    source: ImageSource | OpenSource,
    *,
    model: str | Path | None = None,
    regions: str | None = None,
    progress: bool = False,
) -> Changes:
    """Add the images that an index lacks, and bring those that it has up to date.

    Args:
        path: of the index.
        source: images with the texts and columns that the index has; a column it lacks stays as it is. A function
            opens them, for the build that is written.
        model: where the model is, for an index in a bucket.
        regions: store of the same extractor with regions of some of the images, which need not be found again.
        progress: show a bar.

    Raises:
        CheckpointError: ``model`` is not the one of the index.
        UsageError: another command is writing the index.
        SourceError: no image can be used, or a value does not fit its column.
        StorageError: the disk is full or not writable; what was committed stays.
        VectorIndexError: there is no index, or it is damaged.
    """
    with only_writer(path):
        index = ProductIndex.open(path)
        source = identified(source(index.manifest) if callable(source) else source, lasting=True)
        changes = write_source(index.pinned(), index_encoder(index, model), source, regions, progress)
    if changes.skipped and len(changes.skipped) == len(source):
        raise SourceError(f"{source.name}: none of its images could be used ({changes.skipped[0][1]}).")
    return changes


def update_columns(path: str | Path, source: str, id_column: str | None = None, split: str | None = None) -> Changes:
    """Change columns, such as price and stock, of products that are there; no image is read and none encoded.

    Args:
        path: of the index.
        source: any table with ``id_column`` and some of the index's columns.
        id_column: ids of products, or of images; the column that the index was built with when not given.
        split: of a Hub data set.

    Raises:
        ColumnError: the source has no column ``id_column``.
        SourceError: no product or no column of it is in the index, or a value does not fit.
        VectorIndexError, StorageError, UsageError: as :func:`add_to_index`.
    """
    with only_writer(path):
        return _update_columns(ProductIndex.open(path).pinned(), source, id_column, split)


def _update_columns(index: ProductIndex, source: str, id_column: str | None, split: str | None) -> Changes:
    import pyarrow as pa

    mapping = index.manifest.mapping
    id_column = id_column or mapping["product_id"] or mapping["picture_id"]
    if id_column is None:
        raise UsageError("index add: say which column holds the products' ids: --product-id-column.")
    found = read_rows(source, split)
    found.require([id_column], source)
    rows = found.rows
    found.require([column.name for column in index.metadata_columns if column.name in found.left_out], source)
    columns = [column for column in index.metadata_columns if column.name in rows.column_names]
    if not columns:
        known = ", ".join(column.name for column in index.metadata_columns) or "none"
        raise SourceError(f"{source}: has no column of the index. It has: {known}.")
    names = list(dict.fromkeys([id_column, *(column.name for column in columns)]))
    table = rows.select_columns(names).with_format("arrow")[:]
    arrays = cast_columns(table, columns, source)
    place, skipped = places_of(index, flat(table[id_column]).to_pylist(), id_column)
    images, unknown = find_images(index, list(place))
    problems = [*((name, f"{why} (row {place[name]})") for name, why in unknown_ids(index, unknown)), *skipped]
    overruled = place.keys() - {*images.values(), *unknown}
    problems += [(name, f"row {place[name]}: {_OVERRULED}") for name in place if name in overruled]
    if not images:
        first = f" ({problems[0][0]} {problems[0][1]})" if problems else ""
        raise SourceError(f"{source}: none of its {len(place)} ids in column {id_column!r} is in {index.path}{first}.")
    chosen = pa.array([place[name] for name in images.values()], pa.int64())
    changed = {name: array.take(chosen) for name, array in arrays.items()}
    writer = IndexWriter(index)
    writer.widen(changed)
    updated = writer.update({"picture_id": pa.array(list(images)), **changed})
    writer.maintain()
    left_out = [name for name in rows.column_names if name not in names]
    notes = [f"left out, since the index was built without: column {', '.join(left_out)}"] if left_out else []
    return Changes(updated=updated, skipped=problems, notes=notes)


def remove_from_index(
    path: str | Path,
    *,
    ids: Sequence[str] = (),
    where: str | None = None,
    keep: ImageSource | OpenSource | None = None,
) -> Changes:
    """Remove products; searches do not find them from the next one on.

    Args:
        path: of the index.
        ids: of products or images.
        where: all images that a filter lets through; a note says what stays of their products.
        keep: everything that is not in this source; as ``source`` of :func:`add_to_index`.

    Raises:
        FilterError: the filter is wrong.
        VectorIndexError, StorageError, UsageError: as :func:`add_to_index`.
    """
    with only_writer(path):
        index = ProductIndex.open(path).pinned()
        condition, notes = index.condition(where), filter_notes(index, where)
        kept = None if keep is None else identified(keep(index.manifest) if callable(keep) else keep, lasting=True)
        writer = IndexWriter(index)
        images, unknown = find_images(index, list(ids))
        skipped = unknown_ids(index, unknown)
        removed = writer.delete_ids(list(images)) if images else 0
        if condition is not None:
            notes += staying_note(index, condition)
            removed += writer.delete(condition)
        if kept is not None:
            names = kept.image_ids()
            there = set(names)
            skipped += [(f"row {row}", "has no id: it keeps nothing") for row, name in enumerate(names) if not name]
            removed += writer.delete_ids([name for name in index.ids() if name not in there])
        writer.maintain()
    return Changes(removed=removed, skipped=skipped, notes=notes)


def source_mapping(manifest: Manifest) -> ColumnMapping:
    """Which columns of a source an index was built from."""
    mapping = manifest.mapping
    return ColumnMapping(mapping["picture"], tuple(mapping["texts"]), mapping["picture_id"], mapping["product_id"])
