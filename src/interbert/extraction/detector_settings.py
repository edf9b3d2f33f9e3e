"""What makes one detector of transformers different from another as an extractor; imports nothing heavy."""

from __future__ import annotations

from dataclasses import dataclass

from interbert.errors import ConfigError, require_range


@dataclass(frozen=True)
class DetectorSettings:
    """Options of a detector of transformers."""

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
