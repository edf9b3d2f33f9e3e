"""Extraction of a whole source into a region store: resumable, with unreadable pictures listed."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from interbert.carried import carry
from interbert.errors import PictureError, RegionError, SourceError, StoreError
from interbert.extraction.extractor import RegionExtractor
from interbert.extraction.given import at_size, extract_view, shrink
from interbert.extraction.given_boxes import read_boxes
from interbert.extraction.pictures import load_picture
from interbert.extraction.sources import PictureSource, SourceItem
from interbert.locking import only_writer
from interbert.progress import progress_bar
from interbert.regions.commits import SKIPPED, SkipList, StoreWriter
from interbert.regions.schema import RegionRecord
from interbert.regions.store import RegionStore

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from PIL import Image

_CHUNK = 64
_COMPARED = 64


@dataclass(frozen=True)
class ExtractionReport:
    """What one run did."""

    written: int
    """Rows added by this run."""
    already: int
    """Rows that were there."""
    skipped: int
    """Pictures that could not be used, listed in ``skipped.jsonl`` inside the store."""
    seconds: float


@dataclass(frozen=True)
class DecodedPicture:
    """A row of a source with its picture, or with why there is none."""

    item: SourceItem
    digest: str
    """SHA-256 of the picture's file."""
    picture: Image.Image | None
    problem: str | None
    boxes: NDArray[np.float32] | None = None
    """[n,4] in pixels of the picture, when the source brings boxes along."""
    size: tuple[int, int] | None = None
    """Width and height that the picture had before it was made smaller, when the source brings boxes along."""


def extract_to_store(
    source: PictureSource,
    out: str | Path,
    extractor: RegionExtractor,
    mirrored: bool = False,
    need_texts: bool = True,
    limit: int | None = None,
    progress: bool = True,
) -> ExtractionReport:
    """Extract every picture of ``source`` that ``out`` does not hold yet.

    Killed at any moment, the store holds whole commits of 512 rows; the same call continues after them.

    Args:
        source: pictures and texts.
        out: folder of the store.
        extractor: who finds and describes regions.
        mirrored: store each picture's mirror image too, as a view to train on.
        need_texts: skip pictures without a text.
        limit: only the first so many rows of the source.
        progress: show a bar with rate and remaining time.

    Raises:
        StoreError: ``out`` was made by another extractor, or of other pictures or texts under the same ids.
        StorageError: the disk is full.
        UsageError: another command is writing ``out``.
        SourceError: no picture at all could be used.
    """
    with only_writer(out):
        return _extract(source, out, extractor, mirrored, need_texts, limit, progress)


def _extract(
    source: PictureSource,
    out: str | Path,
    extractor: RegionExtractor,
    mirrored: bool,
    need_texts: bool,
    limit: int | None,
    progress: bool,
) -> ExtractionReport:
    started = time.monotonic()
    store = RegionStore.open_or_create(out, extractor.info)
    if extractor.carried is not None:
        carry(extractor.carried, out)
    require_same_source(store, source, need_texts)
    there = store.existing_keys()
    views = (0, 1) if mirrored else (0,)
    ids = source.picture_ids()[:limit]
    pending = [row for row, name in enumerate(ids) if any((name, view) not in there for view in views)]
    writer = StoreWriter(store)
    skipped = SkipList(Path(out) / SKIPPED)
    try:
        with progress_bar("extracting", len(pending), "pictures", progress and bool(pending)) as advance:
            for chunk in decode_ahead(source, pending):
                usable = [one for one in chunk if _usable(one, need_texts, skipped)]
                for view in views:
                    wanted = [one for one in usable if (one.item.picture_id, view) not in there]
                    writer.add(_records(extractor, wanted, view, skipped.add))
                advance(len(chunk))
    finally:
        writer.flush()  # also on Ctrl-C: what was computed is kept
        skipped.close()
    if not len(store):
        raise SourceError(
            f"{source.name}: none of its {len(ids)} pictures could be used; the reasons are in {Path(out) / SKIPPED}."
        )
    return ExtractionReport(writer.written, len(there), skipped.count, time.monotonic() - started)


def require_same_source(store: RegionStore, source: PictureSource, texts: bool) -> None:
    """Check that what the store has under this source's picture ids is what the source has.

    All texts are compared, and the files of up to 64 pictures spread over the source: reading millions again would
    take as long as extracting them.

    Args:
        store: may be empty, or hold other pictures too.
        source: about to be extracted, or searched with the store's regions.
        texts: compare the texts.

    Raises:
        StoreError: naming the first row that differs.
    """
    known = {one.picture_id: one for one in store.captions() if one.view == 0}
    rows = [row for row, name in enumerate(source.picture_ids()) if name in known]
    remedy = f"The source has changed, or is another one. Extract into another folder than {store.path}."
    if texts and rows:
        wanted = set(rows)
        for row, (name, (_, found)) in enumerate(zip(source.picture_ids(), source.products_and_texts(), strict=True)):
            if row in wanted and found != known[name].texts:
                raise StoreError(
                    f"{source.name}, row {row}: its texts are {list(found)}, the store has {list(known[name].texts)}. "
                    f"{remedy}"
                )
    for row in rows[:: max(1, len(rows) // _COMPARED)]:
        item = source[row]
        digest = picture_digest(item)
        if digest is not None and digest != known[item.picture_id].digest:
            raise StoreError(f"{source.name}, row {row}: the store has another picture under its id. {remedy}")


def picture_digest(item: SourceItem) -> str | None:
    """SHA-256 of a picture's file, as a store has it; None when it cannot be read, which extraction reports."""
    try:
        return None if item.data is None else hashlib.sha256(_file_bytes(item.data)).hexdigest()
    except OSError:
        return None


def _file_bytes(data: bytes | Path) -> bytes:
    return data if isinstance(data, bytes) else data.read_bytes()


def extract_pictures(
    source: PictureSource, extractor: RegionExtractor, progress: bool = False
) -> tuple[list[RegionRecord], list[tuple[str, str]]]:
    """Regions of a small catalogue in memory: records, and (picture id, reason) of what could not be used."""
    records: list[RegionRecord] = []
    problems: list[tuple[str, str]] = []

    def refuse(item: SourceItem, why: str) -> None:
        problems.append((item.picture_id, why))

    with progress_bar("extracting", len(source), "pictures", progress) as advance:
        for chunk in decode_ahead(source, range(len(source))):
            problems += [(one.item.picture_id, one.problem) for one in chunk if one.problem is not None]
            usable = [one for one in chunk if one.picture is not None]
            records += _records(extractor, usable, 0, refuse)
            advance(len(chunk))
    return records, problems


def decode_ahead(source: PictureSource, rows: Iterable[int]) -> Iterator[list[DecodedPicture]]:
    """Chunks of decoded pictures; the next chunk is decoded while the caller computes on this one."""

    def decode(members: Sequence[int]) -> list[DecodedPicture]:
        return [_decode(source[row]) for row in members]

    with ThreadPoolExecutor(max_workers=1, thread_name_prefix="decode") as pool:
        ahead: Future[list[DecodedPicture]] | None = None
        for members in _chunks(rows):
            following = pool.submit(decode, members)
            if ahead is not None:
                yield ahead.result()
            ahead = following
        if ahead is not None:
            yield ahead.result()


def _chunks(rows: Iterable[int]) -> Iterator[list[int]]:
    chunk: list[int] = []
    for row in rows:
        chunk.append(row)
        if len(chunk) == _CHUNK:
            yield chunk
            chunk = []
    if chunk:
        yield chunk


def _decode(item: SourceItem) -> DecodedPicture:
    if item.data is None:
        return DecodedPicture(item, "", None, f"{item.where}: {item.problem}")
    boxes = size = None
    try:
        data = _file_bytes(item.data)
        # given boxes are pixels of the whole picture, which then cannot be decoded at a smaller scale
        picture = load_picture(data, item.where, target_side=512 if item.box_format is None else None)
        if item.box_format is not None:
            size = picture.size
            picture, boxes = shrink(picture, read_boxes(item.boxes, item.box_format, size, item.where))
    except (PictureError, RegionError, OSError) as error:
        return DecodedPicture(item, "", None, str(error))
    return DecodedPicture(item, hashlib.sha256(data).hexdigest(), picture, None, boxes, size)


def _usable(one: DecodedPicture, need_texts: bool, skipped: SkipList) -> bool:
    if one.picture is None:
        skipped.add(one.item, one.problem or "unreadable")
        return False
    if need_texts and not one.item.texts:
        skipped.add(one.item, f"{one.item.where}: has no text")
        return False
    return True


def _records(
    extractor: RegionExtractor, members: Sequence[DecodedPicture], view: int, refuse: Callable[[SourceItem, str], None]
) -> list[RegionRecord]:
    pictures = [one.picture for one in members if one.picture is not None]
    boxes = [one.boxes for one in members if one.boxes is not None]
    records = []
    for one, regions in zip(members, extract_view(extractor, pictures, boxes, view), strict=True):
        try:
            regions = at_size(regions, one.size).validate(one.item.where)
        except RegionError as error:
            refuse(one.item, str(error))
            continue
        records.append(
            RegionRecord(
                picture_id=one.item.picture_id,
                product_id=one.item.product_id,
                digest=one.digest,
                view=view,
                source_row=one.item.row,
                texts=one.item.texts,
                text_fields=one.item.text_fields,
                regions=regions,
            )
        )
    return records
