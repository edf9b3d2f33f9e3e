"""How boxes of a source are read and described; imports nothing heavy."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

BoxFormat = Literal["xyxy", "xywh", "xyxy_relative", "xywh_relative"]


@dataclass(frozen=True)
class GivenSettings:
    """Options of boxes that the source brings along."""

    column: str = ""
    """Column with each image's boxes: a list of lists of 4 numbers (what follows them is left out, as VCR's
    confidences), or that list as JSON text."""
    format: BoxFormat = "xyxy"
    """What the numbers are: two corners, or a corner with width and height; in pixels of the image as it is shown, or
    relative to its size."""
    described_by: Literal["grid", "frcnn"] = "grid"
    """Extractor that describes the boxes, with its own options."""
    keep_found: bool = False
    """The extractor's own regions first, the given boxes after them (as for VCR); otherwise the given boxes alone."""
