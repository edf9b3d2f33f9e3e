"""Extraction of a whole source into a region store: resumable, with unreadable images listed."""

from __future__ import annotations

import time
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from interbert.errors import SourceError
from interbert.extraction.backends.local import Backend, ExtractedRows, LocalBackend
from interbert.extraction.extractor import RegionExtractor
from interbert.extraction.joining import require_same_source
from interbert.extraction.sources import ImageSource
from interbert.extraction.views import views_of
from interbert.regions.commits import SKIPPED, SkipList, StoreWriter
from interbert.regions.schema import RegionRecord
from interbert.regions.store import RegionStore
from interbert.utils.extractor_weights import copy_weights
from interbert.utils.files import only_writer
from interbert.utils.terminal import progress_bar


@dataclass(frozen=True)
class ExtractionReport:
    """What one run did."""

    written: int
    """Rows added by this run."""
    already: int
    """Rows that were there."""
    skipped: int
    """Images that could not be used, listed in ``skipped.jsonl`` inside the store."""
    seconds: float
    unjoined: int = 0
    """Lines of the caption file that gave no caption, and images kept although theirs are ambiguous; listed too."""
    absent: tuple[int, str] = (0, "")
    """How many images the caption file names that the source lacks, and one of them."""


def extract_to_store(
    source: ImageSource,
    out: str | Path,
    extractor: RegionExtractor,
    mirrored: bool = False,
    need_texts: bool = True,
    limit: int | None = None,
    progress: bool | None = None,
    top_k_classes: int | None = None,
    backend: Backend | None = None,
) -> ExtractionReport:
    """Extract every image of ``source`` that ``out`` does not hold yet.

    Killed at any moment, the store holds whole commits of 512 rows; the same call continues after them.

    Args:
        source: images and texts.
        out: folder of the store.
        extractor: detects and encodes regions.
        mirrored: store each image's mirror image too, as a view to train on.
        need_texts: skip images without a text.
        limit: only the first so many rows of the source.
        progress: show a bar with rate and remaining time; None: where the logger ``interbert`` logs at INFO.
        top_k_classes: of a new store: keep so many classes of each region and the remainder; None keeps all.
        backend: where ``extractor`` runs; None: in this process.

    Raises:
        ConfigError: ``top_k_classes`` does not fit the extractor, or the store that is there.
        StoreError: ``out`` was made by another extractor, or of other images or texts under the same ids.
        StorageError: the disk is full.
        UsageError: another command is writing ``out``.
        SourceError: no image at all could be used.
    """
    with only_writer(out):
        store = RegionStore.open_or_create(out, extractor.info, top_k_classes)
        if extractor.weights_file is not None:
            copy_weights(extractor.weights_file, out)
        return _extract(source, store, backend or LocalBackend(extractor), mirrored, need_texts, limit, progress)


def _extract(
    source: ImageSource,
    store: RegionStore,
    backend: Backend,
    mirrored: bool,
    need_texts: bool,
    limit: int | None,
    progress: bool | None,
) -> ExtractionReport:
    started = time.monotonic()
    require_same_source(store, source, need_texts)
    there = store.existing_keys()
    ids = source.image_ids()[:limit]
    missing = [tuple(view for view in views_of(mirrored) if (name, view) not in there) for name in ids]
    views = {row: wanted for row, wanted in enumerate(missing) if wanted}
    writer = StoreWriter(store)
    skipped = SkipList(Path(store.path) / SKIPPED)
    try:
        for note in source.unjoined(kept=not need_texts, limit=limit):
            skipped.note(note, note.reason)
        with (
            progress_bar("extracting", len(views), "images", progress if views else False) as advance,
            closing(backend.extract(source, views, need_texts)) as parts,
        ):
            for done in parts:
                for one in done.refused:
                    skipped.add(one, one.reason, source.place_of(one.row))
                writer.add(done.records)
                advance(done.images)
    finally:
        writer.flush()  # also on Ctrl-C: what was computed is kept
        skipped.close()
    if not len(store):
        raise SourceError(
            f"{source.name}: none of its {len(ids)} images could be used; the reasons are in "
            f"{Path(store.path) / SKIPPED}."
        )
    seconds = time.monotonic() - started
    return ExtractionReport(writer.written, len(there), skipped.count, seconds, skipped.notes, source.absent())


def extract_images(
    source: ImageSource, extractor: RegionExtractor, progress: bool = False
) -> tuple[list[RegionRecord], list[tuple[str, str]]]:
    """Regions of a small catalogue in memory: records, and (image id, reason) of what could not be used."""
    with progress_bar("extracting", len(source), "images", progress) as advance:
        parts = []
        for done in LocalBackend(extractor).extract(source, dict.fromkeys(range(len(source)), (0,)), False):
            parts.append(done)
            advance(done.images)
    whole = ExtractedRows.joined(parts)
    return whole.records, [(one.image_id or f"row {one.row}", one.reason) for one in whole.refused]
