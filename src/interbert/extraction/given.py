"""Regions at boxes that the source brings along, described by the grid's backbone or by the paper's detector.

For VCR's ground truth, a shop's own crops, the output of a detector that runs elsewhere. The order of the boxes stays:
texts may refer to them by number.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from interbert.errors import ConfigError, InterBertError, RegionError, first_line
from interbert.extraction.extractor import BoxDescriber, RegionExtractor
from interbert.extraction.given_boxes import mirror_boxes
from interbert.regions.schema import ExtractorInfo, Regions

if TYPE_CHECKING:
    from PIL import Image

DESCRIBERS = ("grid", "frcnn")
_LONGEST = 2048


class GivenExtractor:
    """Describes given boxes, alone or after the regions that the describer finds itself."""

    def __init__(self, describer: BoxDescriber, keep_found: bool = False) -> None:
        self.describer = describer
        self.keep_found = keep_found
        self.carried = describer.carried
        self.device = describer.device
        self.info = replace(
            describer.info,
            name="given",
            settings={**describer.info.settings, "described_by": describer.info.name, "keep_found": keep_found},
        )

    def extract(self, images: Sequence[Image.Image]) -> list[Regions]:
        """Nothing can be extracted without boxes.

        Raises:
            ConfigError: always, unless there are no images.
        """
        if not images:
            return []
        raise ConfigError(
            "These regions are described at given boxes, which an image alone does not have. Extract them with "
            "--extractor given --given.column COLUMN, and give the store."
        )

    def extract_given(self, images: Sequence[Image.Image], boxes: Sequence[NDArray[np.float32]]) -> list[Regions]:
        """Regions of RGB images at boxes [n,4] in pixels of each image."""
        given = self.describer.describe(images, boxes)
        if not self.keep_found:
            return given
        return [join(own, one) for own, one in zip(self.describer.extract(images), given, strict=True)]


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


def described(regions: Regions | RegionError, where: str) -> Regions:
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
    if not isinstance(extractor, GivenExtractor) or len(boxes) < len(images):
        return extractor.extract(shown)
    if view == 1:
        boxes = [mirror_boxes(one, image.width) for one, image in zip(boxes, images, strict=True)]
    return extractor.extract_given(shown, boxes)


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


def join(first: Regions, second: Regions) -> Regions:
    """The regions of one image from two sources, one after the other."""
    classes = None
    if first.class_probs is not None and second.class_probs is not None:
        classes = np.concatenate((first.class_probs, second.class_probs))
    return Regions(
        boxes=np.concatenate((first.boxes, second.boxes)),
        features=np.concatenate((first.features, second.features)),
        class_probs=classes,
        width=first.width,
        height=first.height,
    )


def build_given_extractor(
    info: ExtractorInfo, folder: str | Path | None = None, device: str | None = None
) -> GivenExtractor:
    """The inverse of ``GivenExtractor.info``.

    Raises:
        ConfigError: the describer is unknown, or cannot be built.
    """
    from interbert.extraction.frcnn.extractor import build_frcnn_extractor
    from interbert.extraction.grid import build_grid_extractor

    name = info.settings.get("described_by")
    if name not in DESCRIBERS:
        raise ConfigError(f"Given boxes are not described by {name!r}. Known: {', '.join(DESCRIBERS)}.")
    own = {key: value for key, value in info.settings.items() if key not in ("described_by", "keep_found")}
    described = replace(info, name=name, settings=own)
    build = build_grid_extractor if name == "grid" else build_frcnn_extractor
    return GivenExtractor(build(described, folder, device), bool(info.settings.get("keep_found")))
