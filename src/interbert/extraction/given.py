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

from interbert.errors import ConfigError
from interbert.extraction.extractor import RegionExtractor
from interbert.regions.schema import ExtractorInfo, Regions

if TYPE_CHECKING:
    from PIL import Image

ENCODERS = ("grid", "frcnn")


class GivenExtractor:
    """Encodes the regions at given boxes by another extractor, alone or after the regions that this one detects."""

    def __init__(self, encoder: RegionExtractor, keep_found: bool = False) -> None:
        self.encoder = encoder
        self.keep_found = keep_found
        self.weights_file = encoder.weights_file
        self.device = encoder.device
        self.info = replace(
            encoder.info,
            name="given",
            settings={**encoder.info.settings, "described_by": encoder.info.name, "keep_found": keep_found},
        )

    def detect(self, images: Sequence[Image.Image]) -> list[Regions]:
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

    def encode(self, images: Sequence[Image.Image], boxes: Sequence[NDArray[np.float32]]) -> list[Regions]:
        """Regions of RGB images at boxes [n,4] in pixels of each image."""
        given = self.encoder.encode(images, boxes)
        if not self.keep_found:
            return given
        return [join(own, one) for own, one in zip(self.encoder.detect(images), given, strict=True)]


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
        ConfigError: the extractor that encodes is unknown, or cannot be built.
    """
    from interbert.extraction.frcnn.extractor import build_frcnn_extractor
    from interbert.extraction.grid import build_grid_extractor

    name = info.settings.get("described_by")
    if name not in ENCODERS:
        raise ConfigError(f"Given boxes are not described by {name!r}. Known: {', '.join(ENCODERS)}.")
    own = {key: value for key, value in info.settings.items() if key not in ("described_by", "keep_found")}
    encoder = replace(info, name=name, settings=own)
    build = build_grid_extractor if name == "grid" else build_frcnn_extractor
    return GivenExtractor(build(encoder, folder, device), bool(info.settings.get("keep_found")))
