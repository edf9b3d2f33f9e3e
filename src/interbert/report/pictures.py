"""The pictures of a store's rows, from the source that they were extracted from."""

from __future__ import annotations

from collections.abc import Mapping

from interbert.errors import UsageError
from interbert.extraction.same_source import picture_digest
from interbert.extraction.sources import PictureSource
from interbert.regions.schema import CaptionRow
from interbert.search.page import thumbnail_uri

SIDE = 224
"""Pixels of a thumbnail's long side."""


def thumbnails(source: PictureSource, wanted: Mapping[str, CaptionRow], side: int = SIDE) -> dict[str, str]:
    """Data URIs of pictures, by the keys of ``wanted``; a picture that the source does not have is left out.

    A picture is looked for under its id, then in its row, and is the one when its file has the digest that the store
    has. Mirrored views are shown mirrored. ``side`` is in pixels, of the long side.

    Raises:
        UsageError: the source has none of them.
    """
    from PIL import ImageOps

    places = {name: place for place, name in enumerate(source.picture_ids())}
    found = {}
    for key, caption in wanted.items():
        for place in dict.fromkeys((places.get(caption.picture_id), caption.source_row)):
            if place is None or place >= len(source):
                continue
            if caption.digest and picture_digest(source[place]) != caption.digest:
                continue
            picture = source.open_picture(place)
            if picture is not None:
                found[key] = thumbnail_uri(ImageOps.mirror(picture) if caption.view == 1 else picture, side)
                break
    if wanted and not found:
        raise UsageError(
            f"{source.name}: has none of the pictures to show. Give the source that the regions were extracted from, "
            "and its --picture and --picture_id as they were then."
        )
    return found
