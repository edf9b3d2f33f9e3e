"""From a foreign file to a region store: one loop for every format.

The loop resumes, lists what cannot be used, finds duplicates, joins captions and shows progress; formats only parse.
Memory holds one commit, whatever the size of the file.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

import numpy as np

from interbert.errors import RegionError, SourceError, StoreError
from interbert.regions.caption_index import CaptionIndex
from interbert.regions.commits import SKIPPED, SkipList, StoreWriter, read_skipped
from interbert.regions.importers.rows import ForeignRow, ForeignSource, SeenRows, checked
from interbert.regions.schema import ExtractorInfo, RegionRecord, Regions
from interbert.regions.store import RegionStore
from interbert.utils.files import only_writer
from interbert.utils.terminal import progress_bar

_COMPARED = 16
_PIECES = 1000


@dataclass(frozen=True)
class ImportReport:
    """What one run did."""

    written: int
    """Rows added by this run."""
    already: int
    """Rows that were there."""
    skipped: int
    """Records that could not be used, listed in ``skipped.jsonl`` inside the store."""
    left_out: int
    """Images whose captions are of other splits."""
    repeated: int
    """Records of an image that was stored from another record, where the format means that (KDD Cup)."""
    seconds: float
    unjoined: int = 0
    """Lines of the caption file that gave no caption, and images kept although theirs are ambiguous; listed too."""
    absent: tuple[int, str] = (0, "")
    """How many images the caption file names that the foreign file lacks, and one of them; unknown with a limit."""


@dataclass
class _Counts:
    already: int = 0
    left_out: int = 0
    repeated: int = 0


def import_to_store(
    source: ForeignSource,
    out: str | Path,
    info: ExtractorInfo,
    captions: CaptionIndex | None = None,
    keep_without_text: bool = False,
    limit: int | None = None,
    progress: bool | None = None,
) -> ImportReport:
    """Import every record of ``source`` that ``out`` does not hold yet.

    Killed at any moment, the store holds whole commits; the same call continues after them.

    Args:
        source: the foreign file, opened.
        out: folder of the store.
        info: what the store says who extracted it.
        captions: texts to join by image id.
        keep_without_text: with ``captions``, keep images that have none.
        limit: only the first so many records.
        progress: show a bar with rate and remaining time; None: where the logger ``interbert`` logs at INFO.

    Raises:
        StoreError: ``out`` was made by another extractor, or has other regions under the same ids.
        StorageError: the disk is full.
        UsageError: another command is writing ``out``.
        SourceError: the file is damaged so that it cannot be read on (what came before is kept), or no record at all
            could be used.
    """
    with only_writer(out):
        return _Import(source, out, info, captions, keep_without_text).run(limit, progress)


class _Import:
    def __init__(
        self,
        source: ForeignSource,
        out: str | Path,
        info: ExtractorInfo,
        captions: CaptionIndex | None,
        keep_without_text: bool,
    ) -> None:
        self._source = source
        self._out = Path(out)
        self._store = RegionStore.open_or_create(out, info)
        self._captions = None if captions is None else captions.among(source.names)
        self._keep = keep_without_text
        self._writer = StoreWriter(self._store)
        self._skipped = SkipList(self._out / SKIPPED)
        stored = ((one.image_id, one.source_row, one.row) for one in self._store.captions() if one.view == 0)
        self._seen = SeenRows(stored)
        self._counts = _Counts()
        self._compared = 0

    def run(self, limit: int | None, progress: bool | None) -> ImportReport:
        started = time.monotonic()
        try:
            for line in self._captions.passed_over if self._captions is not None else ():
                self._skipped.note(line, line.reason)
            for row in self._watched(limit, progress):
                self._take(row)
        finally:
            self._writer.flush()  # also on Ctrl-C: what was read is kept
            self._skipped.close()
        if not len(self._store):
            raise SourceError(
                f"{self._source.name}: none of its records could be used; the reasons are in {self._out / SKIPPED}."
            )
        counts = self._counts
        seconds = time.monotonic() - started
        return ImportReport(
            self._writer.written,
            counts.already,
            self._skipped.count,
            counts.left_out,
            counts.repeated,
            seconds,
            self._skipped.notes,
            self._absent() if limit is None else (0, ""),
        )

    def _absent(self) -> tuple[int, str]:
        if self._captions is None:
            return 0, ""
        stored = (one.image_id for one in self._store.captions() if one.view == 0)
        return self._captions.absent(chain(stored, (name for name, _ in read_skipped(self._out))))

    def _watched(self, limit: int | None, progress: bool | None) -> Iterator[ForeignRow]:
        """The source's rows, with a progress bar that moves a thousand times at most."""
        total = max(1, round(self._source.total))
        step, shown = max(total // _PIECES, 1), 0
        with progress_bar("importing", total, self._source.unit, progress) as advance:
            for number, row in enumerate(self._source.rows()):
                if limit is not None and number >= limit:
                    break
                yield row
                if row.position - shown >= step:
                    advance(int(row.position) - shown)
                    shown = int(row.position)
            else:
                advance(max(total - shown, 0))

    def _take(self, row: ForeignRow) -> None:
        try:
            found = self._seen.find(row.image_id)
            if found is None:
                self._add(row)
            elif found[0] == row.row and found[1] >= 0:
                self._counts.already += 1
                self._compare(row, found[1])
            elif self._source.repeats_are_one:
                self._counts.repeated += 1
            else:
                raise RegionError(f"{row.where}: the id {row.image_id!r} was there before, in row {found[0]}.")
        except RegionError as error:
            self._skipped.add(row, str(error))

    def _add(self, row: ForeignRow) -> None:
        joined = self._joined(row)
        if joined is None:
            self._counts.left_out += 1
            return
        foreign = row.read()
        texts = dict.fromkeys((*foreign.texts, *self._source.texts_of(row.image_id)), self._source.text_field)
        texts |= dict(zip(*joined, strict=True))
        if self._captions is not None:
            problem = self._captions.match(row.image_id).problem
            reason = f"{row.where}: {row.image_id!r} has no caption in {self._captions.path}"
            reason += f": {problem}." if problem else "."
            if not texts and not self._keep:
                raise RegionError(reason)
            if problem:
                self._skipped.note(row, f"{reason} It is kept without.")
        info = self._store.info
        regions = checked(foreign, row.where, info.feature_size, info.num_classes)
        record = RegionRecord(
            image_id=row.image_id,
            product_id=row.product_id or row.image_id,
            digest="",  # the image's file is not here
            view=0,
            source_row=row.row,
            texts=tuple(texts),
            text_fields=tuple(texts.values()),
            regions=regions,
        )
        self._seen.add(row.image_id, row.row)
        self._writer.add([record])

    def _joined(self, row: ForeignRow) -> tuple[tuple[str, ...], tuple[str, ...]] | None:
        return ((), ()) if self._captions is None else self._captions.find(row.image_id)

    def _compare(self, row: ForeignRow, place: int) -> None:
        """Check the first rows that are there already against the file: it may be another one.

        Raises:
            StoreError: the store has other regions under this id.
        """
        if self._compared >= _COMPARED:
            return
        self._compared += 1
        info = self._store.info
        ours = checked(row.read(), row.where, info.feature_size, info.num_classes)
        if not _same(ours, self._store.take([place])[0]):
            raise StoreError(
                f"{row.where}: the store has other regions under the id {row.image_id!r}. The file has changed, or "
                f"is another one. Import into another folder than {self._out}."
            )


def _same(ours: Regions, theirs: Regions) -> bool:
    return np.array_equal(ours.boxes, theirs.boxes) and np.array_equal(ours.features, theirs.features)
