"""What makes one extractor different from another of its kind; imports nothing heavy."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from interbert.errors import ConfigError, require_range


@dataclass(frozen=True)
class DetectorSettings:
    """What makes one detector of transformers different from another."""

    model: str = ""
    """The detector: a folder that save_pretrained wrote, or a Hub id (owner/name, owner/name@revision)."""
    min_boxes: int = 10
    """At least so many regions, also below the threshold. Equal to max_boxes: a fixed number."""
    max_boxes: int = 100
    """At most so many regions."""
    threshold: float = 0.2
    """Probability that a region's best label has."""

    def __post_init__(self) -> None:
        require_range("min_boxes", self.min_boxes, 1)
        require_range("max_boxes", self.max_boxes, 1)
        if self.min_boxes > self.max_boxes:
            raise ConfigError(f"min_boxes is {self.min_boxes}, more than max_boxes, which is {self.max_boxes}.")
        require_range("threshold", self.threshold, 0.0, 1.0)


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


MAX_REGIONS = 300


@dataclass(frozen=True)
class FrcnnOptions:
    """Options that only the paper's detector has."""

    boxes: Literal["proposals", "refined"] = "proposals"
    """Boxes as the features were pooled from them (the paper's), or moved to where the last layer says."""
    precision: Literal["float32", "bfloat16"] = "float32"
    """Numbers of the convolutions; bfloat16 is faster where the hardware has it."""


@dataclass(frozen=True)
class FrcnnSettings:
    """What makes one of the paper's detectors different from another."""

    weights: str = ""
    """Its weights: a Hub id such as unc-nlp/frcnn-vg-finetuned (also owner/name@revision), a folder with the weights
    and their config.yaml, or a file (.bin, .pth, .pkl, .safetensors)."""
    min_boxes: int = 10
    """At least so many regions, also below the threshold. Equal to max_boxes: a fixed number, such as 36."""
    max_boxes: int = 100
    """At most so many regions; not above 300."""
    threshold: float = 0.2
    """Confidence that a region has."""
    nms: float = 0.3
    """Overlap (IoU) above which the less probable of two boxes is dropped from a class."""
    boxes: Literal["proposals", "refined"] = "proposals"
    """Boxes as the features were pooled from them (the paper's), or moved to where the last layer says."""
    precision: Literal["float32", "bfloat16"] = "float32"
    """Numbers of the convolutions; bfloat16 is faster where the hardware has it."""

    def __post_init__(self) -> None:
        require_range("min_boxes", self.min_boxes, 1, MAX_REGIONS + 1)
        require_range("max_boxes", self.max_boxes, 1, MAX_REGIONS + 1)
        if self.min_boxes > self.max_boxes:
            raise ConfigError(f"min_boxes is {self.min_boxes}, more than max_boxes, which is {self.max_boxes}.")
        require_range("threshold", self.threshold, 0.0, 1.0)
        require_range("nms", self.nms, 0.0, 1.0)
        for name, allowed in (("boxes", ("proposals", "refined")), ("precision", ("float32", "bfloat16"))):
            if getattr(self, name) not in allowed:
                raise ConfigError(f"{name} must be one of {', '.join(allowed)}, not {getattr(self, name)!r}.")
