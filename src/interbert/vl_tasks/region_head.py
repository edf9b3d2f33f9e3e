"""The head of tasks whose answer is a region of the image.

Shapes: B items, N regions.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from torch import Tensor

from interbert.data.collation import pad
from interbert.errors import ConfigError
from interbert.model.region_choice import InterBertForRegionChoice, region_choice_loss
from interbert.tasks.base import inputs_of
from interbert.vl_tasks.boxes import enclosing, iou_matrix
from interbert.vl_tasks.example import Example
from interbert.vl_tasks.heads import Float32, Head, binary_entropy
from interbert.vl_tasks.task import Answer

RIGHT_IOU = 0.5


class RegionHead(Head):
    """One of the image's regions, right by its IoU with a right box: a logit of each (ViLBERT, arXiv 1908.02265).

    Args:
        merge: of several right boxes, take the smallest box around them all.
    """

    model_class = InterBertForRegionChoice
    of_regions = True

    def __init__(self, merge: bool = False) -> None:
        self._merge = merge

    def target(self, example: Example, boxes: Float32) -> Any:
        """[N] IoU of each region with the nearest right box, 0 where it is below 0.5."""
        if not isinstance(example.target, Sequence):
            return None
        overlap = self.overlap(example, boxes)
        return np.where(overlap >= RIGHT_IOU, overlap, 0).astype(np.float32)

    def overlap(self, example: Example, boxes: Float32) -> Float32:
        """IoU [N] of boxes with an example's right box, or with the nearest of several."""
        assert isinstance(example.target, Sequence)
        right = [enclosing(example.target)] if self._merge else list(example.target)
        found: Float32 = (
            iou_matrix(boxes, np.array(right, dtype=np.float32)).max(axis=1, initial=0.0).astype(np.float32)
        )
        return found

    def collate(self, targets: Sequence[Any]) -> Tensor:
        """float32 [B,N], 0 at padding."""
        return pad(targets)

    def logits(self, model: Any, batch: Mapping[str, Tensor]) -> Tensor:
        """[B,N], -10000 at padding."""
        if "region_features" not in batch:
            raise ConfigError("regions cannot be chosen without an image. Use the mean image as a control instead.")
        found: Tensor = model.region_logits(**inputs_of(batch))
        return found

    def loss(self, logits: Tensor, targets: Tensor) -> Tensor:
        """See :func:`~interbert.model.region_choice.region_choice_loss`."""
        return region_choice_loss(logits, targets)

    def probabilities(self, logits: Tensor) -> Tensor:
        """Sigmoid: several regions may be right."""
        return logits.float().sigmoid()

    def answer(self, probabilities: Float32, boxes: Float32) -> Answer:
        """The box of the most probable region."""
        x1, y1, x2, y2 = (float(value) for value in boxes[int(probabilities.argmax())])
        return x1, y1, x2, y2

    def chance_loss(self, examples: Sequence[Example], candidates: float) -> float:
        """One right region of each image's, evenly."""
        share = np.array([1 / max(candidates, 1.0)])
        return float(candidates * binary_entropy(share)[0])
