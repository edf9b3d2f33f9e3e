"""Images of a source as rows of an index: found regions, vectors, tokens, thumbnails; committed as they come."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from interbert.errors import RegionError
from interbert.extraction.decoding import DecodedImage, decode_ahead
from interbert.extraction.sources import ImageSource
from interbert.extraction.views import extract_view, views_of
from interbert.progress import progress_bar
from interbert.regions.schema import ExtractorInfo, Regions
from interbert.regions.store import RegionStore
from interbert.search.identity import Problems
from interbert.search.query_encoder import ProductEncoder, Views, sound_views
from interbert.search.writer import IndexWriter, Product

if TYPE_CHECKING:
    from PIL import Image

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
) -> tuple[int, Problems]:
    """Encode rows of a source and write them in commits of 1,024; also on Ctrl-C, what was encoded is written.

    Args:
        metadata: Arrow arrays of the whole source, by field.
        known: ids that the index has.

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
            for chunk in decode_ahead(source, rows):
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
