"""Decoded images to rows of a store, in any process."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from interbert.errors import RegionError
from interbert.extraction.extractor import RegionExtractor
from interbert.extraction.given import at_size, described, extract_view
from interbert.extraction.sources import ImageSource, SourceItem
from interbert.regions.schema import RegionRecord

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from PIL import Image

Views = Mapping[int, tuple[int, ...]]
"""Row of a source -> views of it to make: 0 as it is, 1 mirrored."""


@dataclass(frozen=True)
class DecodedImage:
    """A row of a source with its image, or with why there is none."""

    item: SourceItem
    digest: str
    """SHA-256 of the image's file."""
    image: Image.Image | None
    problem: str | None
    boxes: NDArray[np.float32] | None = None
    """[n,4] in pixels of the image, when the source brings boxes along."""
    size: tuple[int, int] | None = None
    """Width and height that the image had before it was made smaller, when the source brings boxes along."""


@dataclass(frozen=True)
class Refused:
    """A row of a source that could not be used."""

    row: int
    image_id: str
    reason: str


@dataclass
class Described:
    """What some rows of a source gave."""

    images: int
    """Rows that are done, used or refused."""
    records: list[RegionRecord] = field(default_factory=list)
    refused: list[Refused] = field(default_factory=list)

    @classmethod
    def joined(cls, parts: Iterable[Described]) -> Described:
        """All of them, in their order."""
        whole = cls(0)
        for part in parts:
            whole.images += part.images
            whole.records += part.records
            whole.refused += part.refused
        return whole


class Describer(Protocol):
    """Whoever turns rows of a source into rows of a store: this process, or many."""

    def describe(self, source: ImageSource, views: Views, need_texts: bool) -> Generator[Described]:
        """Every row of ``views``, in its order."""


def describe(extractor: RegionExtractor, chunk: Sequence[DecodedImage], views: Views, need_texts: bool) -> Described:
    """Regions of some decoded rows: all of view 0, then all of view 1.

    Args:
        extractor: finds and describes regions.
        chunk: the rows.
        views: of each row.
        need_texts: refuse images without a text.
    """
    done = Described(len(chunk))
    usable = []
    for one in chunk:
        problem = one.problem
        if one.image is not None and need_texts and not one.item.texts:
            problem = f"{one.item.where}: has no text" + (f": {one.item.why_no_text}" if one.item.why_no_text else "")
        if one.image is None or problem is not None:
            done.refused.append(Refused(one.item.row, one.item.image_id, problem or "unreadable"))
        else:
            usable.append(one)
    for view in (0, 1):
        _add_view(extractor, [one for one in usable if view in views[one.item.row]], view, done)
    return done


def _add_view(extractor: RegionExtractor, members: Sequence[DecodedImage], view: int, done: Described) -> None:
    images = [one.image for one in members if one.image is not None]
    boxes = [one.boxes for one in members if one.boxes is not None]
    for one, found in zip(members, extract_view(extractor, images, boxes, view), strict=True):
        try:
            regions = at_size(described(found, one.item.where), one.size).validate(one.item.where)
        except RegionError as error:
            done.refused.append(Refused(one.item.row, one.item.image_id, str(error)))
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
