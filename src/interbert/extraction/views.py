"""Views of an image (as it is, and its mirror image), and sizes at which it is seen.

One place for every extractor: what a box becomes in a mirror image, and in an image that was made smaller.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from interbert.errors import InterBertError, RegionError, first_line
from interbert.extraction.extractor import RegionExtractor
from interbert.regions.schema import Regions

if TYPE_CHECKING:
    from PIL import Image

_LONGEST = 2048


def views_of(mirrored: bool) -> tuple[int, ...]:
    """Views of an image: as it is, and its mirror image where that is wanted."""
    return (0, 1) if mirrored else (0,)


def extract_view(
    extractor: RegionExtractor,
    images: Sequence[Image.Image],
    boxes: Sequence[NDArray[np.float32]],
    view: int,
) -> list[Regions | RegionError]:
    """Regions of images as they are (view 0) or mirrored (view 1), at their boxes when the extractor takes boxes.

    A network of somebody else's may stumble over one image in a million: that image gets the error, the others
    their regions. When all stumble, the extractor is broken, and its own error goes on.

    Args:
        extractor: any.
        images: RGB.
        boxes: of every image; empty when the source brings none along.
        view: 0 or 1.

    Raises:
        ConfigError: the extractor needs boxes and there are none.
    """
    try:
        return list(_extract_view(extractor, images, boxes, view))
    except InterBertError:
        raise
    except Exception:
        found = [_extract_alone(extractor, image, boxes[place : place + 1], view) for place, image in enumerate(images)]
        if len(found) > 1 and all(isinstance(one, RegionError) for one in found):
            raise
        return found


def require_regions(regions: Regions | RegionError, where: str) -> Regions:
    """Regions of :func:`extract_view`.

    Raises:
        RegionError: there are none, for the reason that it gave; ``where`` is what to call the image.
    """
    if isinstance(regions, RegionError):
        raise RegionError(f"{where}: {regions}")
    return regions


def _extract_alone(
    extractor: RegionExtractor, image: Image.Image, boxes: Sequence[NDArray[np.float32]], view: int
) -> Regions | RegionError:
    try:
        return _extract_view(extractor, [image], boxes, view)[0]
    except Exception as error:
        reason = first_line(error, 160)
        width, height = image.size
        return RegionError(f"the extractor cannot describe it, {width} x {height} pixels ({reason})")


def _extract_view(
    extractor: RegionExtractor, images: Sequence[Image.Image], boxes: Sequence[NDArray[np.float32]], view: int
) -> list[Regions]:
    from PIL import ImageOps

    shown = [ImageOps.mirror(one) for one in images] if view == 1 else images
    if not boxes or len(boxes) < len(images):
        return extractor.detect(shown)
    if view == 1:
        boxes = [mirror_boxes(one, image.width) for one, image in zip(boxes, images, strict=True)]
    return extractor.encode(shown, boxes)


def mirror_boxes(boxes: NDArray[np.float32], width: int) -> NDArray[np.float32]:
    """Boxes of an image's mirror image, left to right."""
    mirrored: NDArray[np.float32] = boxes.copy()
    mirrored[:, 0], mirrored[:, 2] = width - boxes[:, 2], width - boxes[:, 0]
    return mirrored


def shrink(image: Image.Image, boxes: NDArray[np.float32]) -> tuple[Image.Image, NDArray[np.float32]]:
    """An image with at most 2,048 pixels a side, and its boxes on it: dozens wait in memory at a time."""
    factor = _LONGEST / max(image.size)
    if factor >= 1.0:
        return image, boxes
    width, height = image.size
    small = image.resize((max(1, round(width * factor)), max(1, round(height * factor))))
    scale = np.array([small.width / width, small.height / height] * 2, dtype=np.float32)
    return small, boxes * scale


def at_size(regions: Regions, size: tuple[int, int] | None) -> Regions:
    """Regions of an image that was made smaller, in pixels of the size it had; None leaves them as they are."""
    if size is None or size == (regions.width, regions.height):
        return regions
    width, height = size
    scale = np.array([width / regions.width, height / regions.height] * 2, dtype=np.float32)
    return replace(regions, boxes=regions.boxes * scale, width=width, height=height)
