"""Extraction in this process, decoding beside the network; and what every backend gives."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from interbert.errors import RegionError
from interbert.extraction.decoding import DecodedImage, decode_ahead
from interbert.extraction.extractor import ExpectsImages, RegionExtractor
from interbert.extraction.images import threads_beside_gpu
from interbert.extraction.sources import ImageSource
from interbert.extraction.views import at_size, extract_view, require_regions
from interbert.regions.schema import RegionRecord

_GPU_CHUNK = 512
"""Images that are decoded ahead of a GPU, which describes dozens at once."""

Views = Mapping[int, tuple[int, ...]]
"""Row of a source -> views of it to make: 0 as it is, 1 mirrored."""


@dataclass(frozen=True)
class RefusedRow:
    """A row of a source that could not be used."""

    row: int
    image_id: str
    reason: str


@dataclass
class ExtractedRows:
    """What some rows of a source gave."""

    images: int
    """Rows that are done, used or refused."""
    records: list[RegionRecord] = field(default_factory=list)
    refused: list[RefusedRow] = field(default_factory=list)

    @classmethod
    def joined(cls, parts: Iterable[ExtractedRows]) -> ExtractedRows:
        """All of them, in their order."""
        whole = cls(0)
        for part in parts:
            whole.images += part.images
            whole.records += part.records
            whole.refused += part.refused
        return whole


class Backend(Protocol):
    """Whoever turns rows of a source into rows of a store: this process, or many."""

    def extract(self, source: ImageSource, views: Views, need_texts: bool) -> Generator[ExtractedRows]:
        """Every row of ``views``, in its order."""


def extract_rows(
    extractor: RegionExtractor, chunk: Sequence[DecodedImage], views: Views, need_texts: bool
) -> ExtractedRows:
    """Regions of some decoded rows: all of view 0, then all of view 1.

    Args:
        extractor: detects and encodes regions.
        chunk: the rows.
        views: of each row.
        need_texts: refuse images without a text.
    """
    done = ExtractedRows(len(chunk))
    usable = []
    for one in chunk:
        problem = one.problem
        if one.image is not None and need_texts and not one.item.texts:
            problem = f"{one.item.where}: has no text" + (f": {one.item.why_no_text}" if one.item.why_no_text else "")
        if one.image is None or problem is not None:
            done.refused.append(RefusedRow(one.item.row, one.item.image_id, problem or "unreadable"))
        else:
            usable.append(one)
    for view in (0, 1):
        _add_view(extractor, [one for one in usable if view in views[one.item.row]], view, done)
    return done


def _add_view(extractor: RegionExtractor, members: Sequence[DecodedImage], view: int, done: ExtractedRows) -> None:
    images = [one.image for one in members if one.image is not None]
    boxes = [one.boxes for one in members if one.boxes is not None]
    for one, found in zip(members, extract_view(extractor, images, boxes, view), strict=True):
        try:
            regions = at_size(require_regions(found, one.item.where), one.size).validate(one.item.where)
        except RegionError as error:
            done.refused.append(RefusedRow(one.item.row, one.item.image_id, str(error)))
            continue
        done.records.append(
            RegionRecord(
                image_id=one.item.image_id,
                product_id=one.item.product_id,
                digest=one.digest,
                view=view,
                source_row=one.item.row,
                texts=one.item.texts,
                text_fields=one.item.text_fields,
                regions=regions,
            )
        )


class LocalBackend:
    """Extracts in this process, decoding the next ones meanwhile."""

    def __init__(self, extractor: RegionExtractor) -> None:
        self._extractor = extractor

    def extract(self, source: ImageSource, views: Views, need_texts: bool) -> Generator[ExtractedRows]:
        """Every row of ``views``, in its order, some at a time."""
        if isinstance(self._extractor, ExpectsImages):
            self._extractor.expect(len(views))
        on_cpu = self._extractor.device == "cpu"
        chunks = (
            decode_ahead(source, views) if on_cpu else decode_ahead(source, views, threads_beside_gpu(), _GPU_CHUNK)
        )
        for chunk in chunks:
            yield extract_rows(self._extractor, chunk, views, need_texts)
