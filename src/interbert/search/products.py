"""Ids under which an index knows images: they must mean the same in every source that is ever added."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from interbert.errors import RegionError, SourceError
from interbert.extraction.columns import id_text
from interbert.extraction.decoding import DecodedImage, decode_ahead
from interbert.extraction.several_images import numbered
from interbert.extraction.sources import ImageSource
from interbert.extraction.views import extract_view, views_of
from interbert.regions.schema import ExtractorInfo, Regions
from interbert.regions.store import RegionStore
from interbert.search.index import ProductIndex
from interbert.search.query_encoder import ProductEncoder, Views, sound_views
from interbert.search.writer import IndexWriter, Product
from interbert.utils.terminal import progress_bar

if TYPE_CHECKING:
    from PIL import Image


Problems = list[tuple[str, str]]
"""(image id, or row when it has none, and reason) of what could not be used."""


def identified(source: ImageSource, lasting: bool) -> ImageSource:
    """The source with image ids that do not depend on the order of its rows.

    A column of image ids is taken as it is. Else an image has its product's id, further images of the product
    ``ID#2``, ``ID#3`` in their order, but for ids that other products have; without product ids the path of its file.
    Row numbers are the last resort. A row whose product's id or file's path is missing has no id and cannot be used.

    Args:
        source: any.
        lasting: refuse row numbers, which would be taken for those of the source before.

    Raises:
        SourceError: there are only row numbers.
    """
    columns = source.columns
    if columns.image_id is not None:
        return source
    if columns.product_id is not None:
        return source.with_ids(numbered(list(source.product_ids())))
    names = source.image_cells()
    if all(name is None or isinstance(name, str) for name in names):
        named = [name for name in names if name]
        if named and len(set(named)) == len(named):
            return source.with_ids([name or "" for name in names])
    if lasting:
        raise SourceError(
            f"{source.name}: its images have no ids, only row numbers, and those mean others in the index. Name a "
            "column with --product-id-column or --image-id-column."
        )
    return source


def images_of(index: ProductIndex, ids: Sequence[str]) -> tuple[dict[str, str], set[str]]:
    """Every image that ``ids``, of products or of images, name, with the id that counts; and the ids that do.

    An image's own id counts before that of its product.
    """
    named = {name: name for name in index.existing(ids, [])}
    found = set(named)
    for batch in index.by_ids(ids, ["picture_id", "product_id"], "product_id"):
        for row in batch.to_pylist():
            named.setdefault(row["picture_id"], row["product_id"])
            found.add(row["product_id"])
    return named, found


def find_images(index: ProductIndex, ids: Sequence[str]) -> tuple[dict[str, str], list[str]]:
    """The images that some ids name, with the id that counts, as :func:`images_of`; and the ids that name none.

    Earlier versions took the id 101 of a column that pandas had made one of floats for ``101.0``; it is found, too.
    """
    named, found = images_of(index, ids)
    floats = {f"{name}.0": name for name in set(ids) - found if name.isdecimal()}
    older, found_older = images_of(index, list(floats))
    named = {image: floats[name] for image, name in older.items()} | named
    found |= {floats[name] for name in found_older}
    return named, [name for name in dict.fromkeys(ids) if name not in found]


def places_of(index: ProductIndex, cells: Sequence[Any], id_column: str) -> tuple[dict[str, int], Problems]:
    """Row of each id, and the rows that count for none.

    A product's further rows are those of its further images, as when the index was built, where it has these.
    """
    products = [id_text(cell) or "" for cell in cells]
    names = numbered(products)
    further = index.existing([name for name, product in zip(names, products, strict=True) if name != product], [])
    places: dict[str, int] = {}
    skipped: Problems = []
    for row, (product, own) in enumerate(zip(products, names, strict=True)):
        name = own if own in further else product
        if not name:
            skipped.append((f"row {row}", f"has no id in column {id_column!r}"))
            continue
        if name in places:
            skipped.append((name, f"row {places[name]}: the id stands in row {row}, too, which counts"))
        places[name] = row
    return places, skipped


COMMIT_ROWS = 1024
_THUMBNAIL_SIDE = 128
_MEASURED = 64
_ROOM = 1.25
"""Vectors of unknown length may be so much longer than the longest of the sample."""


class KnownRegions:
    """Regions of decoded images: from a store where it has the same image, else found now.

    Args:
        encoder: whose extractor finds them.
        store: folder of a region store, or None.
        mirrored: give every image's mirror image, too.

    Raises:
        StoreError: the store is missing, or another extractor made it.
    """

    def __init__(self, encoder: ProductEncoder, store: str | None = None, mirrored: bool = False) -> None:
        self._encoder = encoder
        self._views = views_of(mirrored)
        self._store = None if store is None else RegionStore.open(store)
        self._rows: dict[tuple[str, int], int] = {}
        if self._store is not None:
            self._store.require(ExtractorInfo.from_dict(encoder.processor.extractor_info))
            self._rows = {(one.digest, one.view): one.row for one in self._store.captions() if one.view in self._views}

    def of(self, chunk: Sequence[DecodedImage]) -> list[Views | RegionError]:
        """Sound regions of each image, and of its mirror image where that is wanted; else what is wrong with them."""
        by_view = [self._view(chunk, view) for view in self._views]
        return [sound_views(views, one.item.where) for one, *views in zip(chunk, *by_view, strict=True)]

    def _view(self, chunk: Sequence[DecodedImage], view: int) -> list[Regions | RegionError]:
        names = [(one.digest, view) for one in chunk]
        stored = {place: self._rows[name] for place, name in enumerate(names) if name in self._rows}
        taken = self._store.take(list(stored.values())) if self._store is not None and stored else []
        regions: dict[int, Regions | RegionError] = dict(zip(stored, taken, strict=True))
        fresh = [place for place in range(len(chunk)) if place not in stored]
        if fresh:
            images = [image for image in (chunk[place].image for place in fresh) if image is not None]
            regions |= dict(zip(fresh, extract_view(self._encoder.extractor, images, [], view), strict=True))
        return [regions[place] for place in range(len(chunk))]


def write_products(
    writer: IndexWriter,
    encoder: ProductEncoder,
    source: ImageSource,
    rows: Sequence[int],
    metadata: dict[str, Any],
    regions: KnownRegions,
    known: frozenset[str],
    progress: bool,
    images_at_once: int | None = None,
) -> tuple[int, Problems]:
    """Encode rows of a source and write them in commits of 1,024; also on Ctrl-C, what was encoded is written.

    Args:
        metadata: Arrow arrays of the whole source, by field.
        known: ids that the index has.
        images_at_once: encoded in one go; None: what suits a CPU that does nothing else.

    Returns:
        how many were written, and what could not be used.

    Raises:
        StorageError: the disk is full or not writable; what was committed stays.
    """
    import pyarrow as pa

    problems: Problems = []
    waiting: list[tuple[int, Product]] = []
    written = 0

    def flush() -> None:
        nonlocal written
        members, waiting[:] = list(waiting), []
        places = pa.array([row for row, _ in members], pa.int64())
        products = [product for _, product in members]
        columns = {name: values.take(places) for name, values in metadata.items()}
        writer.put(products, columns, any(one.image_id in known for one in products))
        written += len(members)

    try:
        with progress_bar("encoding", len(rows), "images", progress and bool(rows)) as advance:
            for chunk in decode_ahead(source, rows, chunk=images_at_once):
                problems += [(one.item.called, one.problem) for one in chunk if one.problem is not None]
                usable = [one for one in chunk if one.image is not None]
                waiting += _encoded(encoder, usable, regions.of(usable), problems)
                if len(waiting) >= COMMIT_ROWS:
                    flush()
                advance(len(chunk))
    finally:
        flush()
    return written, problems


def measured_norm(encoder: ProductEncoder, source: ImageSource) -> float:
    """A length that hardly any image's vector exceeds, by a sample of a source's images."""
    regions = KnownRegions(encoder)  # a mean is never longer, so mirror images need not be looked at
    longest = 0.0
    rows = np.random.default_rng(0).permutation(len(source))[:_MEASURED]  # sources are sorted: the first are alike
    for chunk in decode_ahead(source, np.sort(rows).tolist()):
        usable = [one for one in chunk if one.image is not None]
        found = zip(usable, regions.of(usable), strict=True)
        sound = {one.item.where: views for one, views in found if not isinstance(views, RegionError)}
        if sound:
            vectors, _ = encoder.views(list(sound.values()), list(sound))
            longest = max(longest, float(np.linalg.norm(vectors, axis=1).max()))
    return max(_ROOM * longest, 1e-3)


def _encoded(
    encoder: ProductEncoder,
    members: Sequence[DecodedImage],
    regions: Sequence[Views | RegionError],
    problems: Problems,
) -> list[tuple[int, Product]]:
    """Source row and product of each image whose regions are sound."""
    sound: list[tuple[DecodedImage, Views]] = []
    for one, found in zip(members, regions, strict=True):
        if isinstance(found, RegionError):
            problems.append((one.item.called, str(found)))
        else:
            sound.append((one, found))
    if not sound:
        return []
    vectors, tokens = encoder.views([found for _, found in sound], [one.item.where for one, _ in sound])
    return [
        (
            one.item.row,
            Product(
                one.item.image_id,
                one.item.product_id,
                one.digest,
                one.item.texts,
                thumbnail(one.image),
                vector,
                token,
            ),
        )
        for (one, _), vector, token in zip(sound, vectors, tokens, strict=True)
        if one.image is not None
    ]


def thumbnail(image: Image.Image) -> bytes:
    """A JPEG of at most 128 pixels a side."""
    small = image.copy()
    small.thumbnail((_THUMBNAIL_SIDE, _THUMBNAIL_SIDE))
    out = io.BytesIO()
    small.save(out, "JPEG", quality=80)
    return out.getvalue()
