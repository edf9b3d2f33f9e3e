"""The images of a store's rows, from the source that they were extracted from, each proven to be the one.

Rows of a source are no names: a source that was sorted anew, or grew, has other images in them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from PIL import Image, ImageOps

from interbert.errors import UsageError
from interbert.extraction.joining import image_digest
from interbert.extraction.sources import ImageSource
from interbert.search.page import thumbnail_uri

SIDE = 224
"""Pixels of a thumbnail's long side."""


class Wanted(Protocol):
    """What is known of an image to show, such as a :class:`~interbert.regions.schema.CaptionRow`."""

    @property
    def image_id(self) -> str:
        """Its id in the source."""

    @property
    def digest(self) -> str:
        """SHA-256 of its file; empty where it is not known."""

    @property
    def source_row(self) -> int:
        """Its row when the source was read; it may be another one by now."""

    @property
    def view(self) -> int:
        """1 shows it mirrored."""


@dataclass(frozen=True)
class Thumbnails:
    """Images to show."""

    uris: dict[str, str] = field(default_factory=dict)
    """Data URI of each image that was found, by its key."""
    problems: list[str] = field(default_factory=list)
    """Of each image that is not shown: what it is and why, in words."""

    def require(self, source: ImageSource) -> Thumbnails:
        """The same, unless all that was wanted is missing.

        Raises:
            UsageError: the source has none of the images.
        """
        if self.problems and not self.uris:
            raise UsageError(
                f"{source.name}: has none of the images to show ({self.problems[0]}). Give the source that the "
                "regions were extracted from, and its --image-column and --image-id-column as they were then."
            )
        return self


def thumbnails(source: ImageSource, wanted: Mapping[str, Wanted], side: int = SIDE) -> Thumbnails:
    """Data URIs of images, by the keys of ``wanted``, and what of them the source does not have.

    An image is looked for under its id. Where the digest of its file is known, the file under that id has to have it;
    else so may the file in its row, which is the same image under another id. Where no digest is known, as of imported
    regions, the id alone decides; a row number is an id only to a store that took its ids from the same rows.

    Args:
        source: with the images.
        wanted: what is known of each.
        side: pixels of the long side.
    """
    shown = Thumbnails()
    places = {name: place for place, name in enumerate(source.image_ids())}
    for key, one in wanted.items():
        image = _find(source, places, one)
        if isinstance(image, str):
            shown.problems.append(f"image {one.image_id[:80]!r}: {image}")
        else:
            shown.uris[key] = thumbnail_uri(ImageOps.mirror(image) if one.view == 1 else image, side)
    return shown


def _find(source: ImageSource, places: Mapping[str, int], one: Wanted) -> Image.Image | str:
    """An image, or why there is none."""
    named = places.get(one.image_id)
    if one.digest:
        rows = [row for row in (named, one.source_row) if row is not None and 0 <= row < len(source)]
        found = next((row for row in dict.fromkeys(rows) if image_digest(source[row]) == one.digest), None)
    else:
        numbered = source.columns.image_id is None and one.image_id == str(named)
        found = None if numbered and named != one.source_row else named
    if found is not None:
        return source.open_image(found) or "its file cannot be read"
    if named is None:
        return "the source has no such id"
    if not one.digest:
        return "the source has no ids but row numbers, which mean other images here"
    return "the source has another file under this id than the one whose regions are kept"
