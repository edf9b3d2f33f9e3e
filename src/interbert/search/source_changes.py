"""What a source changes in an index: new images are encoded, and texts and columns that differ are written.

An image whose file is the same is never encoded again.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from interbert.extraction.joining import image_digest
from interbert.extraction.sources import ImageSource
from interbert.search.casting import cast_columns
from interbert.search.columns import arrow_type
from interbert.search.index import ProductIndex
from interbert.search.products import KnownRegions, Problems, images_of, write_products
from interbert.search.query_encoder import ProductEncoder
from interbert.search.suggestions import like_others
from interbert.search.terms import stored_terms
from interbert.search.writer import IndexWriter

_COMPARED_ROWS = 20_000
_SHOWN = 5

Fact = tuple[str, tuple[str, ...]]
"""Product id and texts of an image."""


@dataclass
class Changes:
    """What a command did to an index, in images."""

    added: int = 0
    replaced: int = 0
    """Encoded again: the image had changed."""
    updated: int = 0
    """Texts or columns alone."""
    unchanged: int = 0
    removed: int = 0
    skipped: Problems = field(default_factory=list)
    """(image id, reason) of what could not be used."""
    notes: list[str] = field(default_factory=list)
    """What else to know, in words: columns that are no filter columns, ids like others."""


@dataclass
class Compared:
    """What an index lacks of a source."""

    pending: list[int] = field(default_factory=list)
    """Rows whose images are to be encoded."""
    changed: set[str] = field(default_factory=set)
    """Ids of those of them that the index has: their images are other ones now."""
    updated: list[int] = field(default_factory=list)
    """Rows whose texts or columns differed, and were written."""


def write_source(
    index: ProductIndex, encoder: ProductEncoder, source: ImageSource, regions: str | None, progress: bool
) -> Changes:
    """Encode and write what an index lacks of a source, and write what differs."""
    source.require(column.name for column in index.metadata_columns if column.name in source.left_out)
    given = [column for column in index.metadata_columns if column.name in source.column_names]
    metadata = cast_columns(source.other_columns([column.name for column in given]), given, source.name)
    ids = source.image_ids()
    writer = IndexWriter(index)
    compared = update_differing(writer, source, metadata)
    changes = Changes(updated=len(compared.updated))
    changes.unchanged = len(source) - len(compared.pending) - changes.updated
    changes.notes = _replaced_first(index, source, ids, compared.changed) + like_others(
        index, [ids[row] for row in compared.pending if ids[row] and ids[row] not in compared.changed]
    )
    known_regions = KnownRegions(encoder, regions, index.manifest.mirrored)
    try:
        written, changes.skipped = write_pending(
            writer, encoder, source, metadata, compared, known_regions, progress=progress
        )
    except KeyboardInterrupt:
        writer.maintain()  # what was encoded is committed, and is searched like the rest
        raise
    changes.replaced = len(compared.changed - {name for name, _ in changes.skipped})
    changes.added = written - changes.replaced
    writer.maintain()
    return changes


def update_differing(
    writer: IndexWriter, source: ImageSource, metadata: Mapping[str, Any], images_needed: bool = True
) -> Compared:
    """Write the texts and columns that differ of images that an index has, and tell what is to be encoded.

    Args:
        metadata: Arrow arrays of the whole source, by field: columns that it has.
        images_needed: a row without an image is to be encoded, which then says what is wrong with it; else it is one
            of an image that the index has, which stays.
    """
    writer.widen(dict(metadata))
    ids = source.image_ids()
    compared = Compared()
    facts = source.products_and_texts()
    for start in range(0, len(ids), _COMPARED_ROWS):
        block = ids[start : start + _COMPARED_ROWS]
        there = writer.index.existing(block, ["digest", "product_id", "texts", *metadata])
        stale: dict[int, Fact] = {}
        only_columns: list[int] = []
        for row, (name, fact) in enumerate(zip(block, itertools.islice(facts, len(block)), strict=True), start):
            known, digest = there.get(name), image_digest(source[row])
            if known is None or (known["digest"] != digest and (images_needed or digest is not None)):
                compared.pending.append(row)
                compared.changed |= {name} & there.keys()
            elif (known["product_id"], tuple(known["texts"])) != fact:
                stale[row] = fact
            elif any(known[field] != values[row].as_py() for field, values in metadata.items()):
                only_columns.append(row)
        _update(writer, ids, list(stale), metadata, _fact_columns(stale))
        _update(writer, ids, only_columns, metadata, {})
        compared.updated += sorted([*stale, *only_columns])
    return compared


def write_pending(
    writer: IndexWriter,
    encoder: ProductEncoder,
    source: ImageSource,
    metadata: dict[str, Any],
    compared: Compared,
    regions: KnownRegions,
    *,
    images_at_once: int | None = None,
    progress: bool = False,
) -> tuple[int, Problems]:
    """Encode and write the pending images; columns of the index that a source lacks stay, and are null for new ones.

    Args:
        images_at_once: encoded in one go; None: what suits a CPU that does nothing else.

    Returns:
        how many were written, and what could not be used.
    """
    index, ids = writer.index, source.image_ids()
    every = metadata | _kept(index, ids, compared.changed, metadata)
    whole = {column.field: every[column.field] for column in index.metadata_columns}
    known = frozenset(compared.changed)
    return write_products(writer, encoder, source, compared.pending, whole, regions, known, progress, images_at_once)


def _replaced_first(index: ProductIndex, source: ImageSource, ids: Sequence[str], changed: set[str]) -> list[str]:
    """That another image was taken for a product's first one, since a source has fewer of it than the index."""
    if source.columns.image_id is not None or source.columns.product_id is None or not changed:
        return []
    (there, _), given = images_of(index, sorted(changed)), set(ids)
    fewer = sorted({product for image, product in there.items() if image not in given})
    if not fewer:
        return []
    more = f" and {len(fewer) - _SHOWN} more" if len(fewer) > _SHOWN else ""
    return [
        f"their first image was replaced, and further ones stay that this source lacks: {', '.join(fewer[:_SHOWN])}"
        f"{more}. To add an image give all of a product's, or a column of image ids"
    ]


def _kept(index: ProductIndex, ids: Sequence[str], changed: set[str], given: Mapping[str, Any]) -> dict[str, Any]:
    """Columns of the index that a source lacks: null for new images, as they are for those that are encoded anew."""
    import pyarrow as pa

    lacking = [column for column in index.metadata_columns if column.field not in given]
    there = index.existing(sorted(changed), [column.field for column in lacking]) if lacking else {}
    return {
        column.field: pa.array([there.get(name, {}).get(column.field) for name in ids], arrow_type(column.kind))
        for column in lacking
    }


def _update(
    writer: IndexWriter, ids: Sequence[str], rows: Sequence[int], metadata: Mapping[str, Any], facts: Mapping[str, Any]
) -> None:
    """Write columns of the database of images that are there: ``facts`` of these rows, ``metadata`` of all rows."""
    import pyarrow as pa

    places = pa.array(rows, pa.int64())
    columns = {"picture_id": pa.array([ids[row] for row in rows], pa.string()), **facts}
    writer.update(columns | {field: values.take(places) for field, values in metadata.items()})


def _fact_columns(facts: Mapping[int, Fact]) -> dict[str, Any]:
    """Arrow arrays of products and texts, by field, of some rows."""
    import pyarrow as pa

    return {
        "product_id": pa.array([product for product, _ in facts.values()], pa.string()),
        "texts": pa.array([list(texts) for _, texts in facts.values()], pa.list_(pa.string())),
        "fulltext": pa.array([stored_terms(texts) for _, texts in facts.values()], pa.string()),
    }
