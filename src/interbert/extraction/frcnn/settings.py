"""What makes one detector extractor different from another; imports nothing heavy."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from interbert.errors import ConfigError, require_range

MAX_REGIONS = 300


@dataclass(frozen=True)
class FrcnnSettings:
    """Options of the paper's detector."""

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
