"""Masked region modeling (paper section 3.2, SPEC part 3): regions are zeroed together with what overlaps them.

Each region is an anchor with probability 0.1; every region with IoU >= 0.4 to an anchor (the anchor included, no
chain from region to region) is zeroed and predicted, so that no visible box leaks an anchor. IoU is taken on
normalised boxes with the +1-pixel convention: width = x2 - x1 + 1/w, height = y2 - y1 + 1/h.

Loss: KL(detector's class distribution || predicted), summed over classes and averaged over masked regions of
matched pairs; or the squared error of the region feature, summed over F.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn

from interbert.errors import ConfigError

Bool = NDArray[np.bool_]
Float32 = NDArray[np.float32]


class MaskedRegions(NamedTuple):
    """Which of N regions are predicted and which are hidden, both bool [N]."""

    predicted: Bool
    zeroed: Bool


@dataclass(frozen=True)
class RegionMasking:
    """How regions are chosen.

    Args:
        mode: ``iou`` (the paper's) or ``plain``: each region on its own (the ablation).
        anchor_probability: chance of being an anchor.
        iou_threshold: overlap with an anchor that hides a region too.
        plain_probability: chance of a region in ``plain`` mode.
        plain_zeroed: share of those that is hidden; the rest stays visible and is predicted all the same.

    Raises:
        ConfigError: a probability is outside [0, 1].
    """

    mode: Literal["iou", "plain"] = "iou"
    anchor_probability: float = 0.1
    iou_threshold: float = 0.4
    plain_probability: float = 0.15
    plain_zeroed: float = 0.9

    def __post_init__(self) -> None:
        if self.mode not in ("iou", "plain"):
            raise ConfigError(f"region masking mode must be 'iou' or 'plain', not {self.mode!r}.")
        for name in ("anchor_probability", "iou_threshold", "plain_probability", "plain_zeroed"):
            if not 0 <= getattr(self, name) <= 1:
                raise ConfigError(f"{name} must be between 0 and 1, not {getattr(self, name)}.")

    def __call__(self, boxes: NDArray[Any], width: int, height: int, generator: np.random.Generator) -> MaskedRegions:
        """Choose regions of one image.

        Args:
            boxes: [N,4] as x1, y1, x2, y2 in pixels.
            width: of the image, pixels.
            height: of the image, pixels.
            generator: the sample's own, see :mod:`interbert.objectives.seeding`.
        """
        count = len(boxes)
        if self.mode == "plain":
            predicted = generator.random(count) < self.plain_probability
            return MaskedRegions(predicted, predicted & (generator.random(count) < self.plain_zeroed))
        anchors = generator.random(count) < self.anchor_probability
        near = region_iou(boxes, width, height)[:, anchors] >= self.iou_threshold
        predicted = near.any(axis=1) | anchors
        return MaskedRegions(predicted, predicted)


def hide_regions(image: tuple[Float32, Float32], zeroed: Bool) -> tuple[Float32, Float32]:
    """Inputs of an image with some of its regions hidden by masking; the image itself stays as it is.

    Args:
        image: region_features [N+1,F], global token first, and region_locations [N+1,5].
        zeroed: bool [N], which. They become zeros before the global token's mean is taken, with N still the divisor, so
            nothing leaks (SPEC part 2).
    """
    if not zeroed.any():
        return image
    features, locations = image
    hidden = features.copy()
    hidden[1:][zeroed] = 0
    hidden[1:].mean(axis=0, out=hidden[0])
    return hidden, locations


def region_iou(boxes: NDArray[Any], width: int, height: int) -> NDArray[np.float64]:
    """Intersection over union [N,N] of boxes [N,4] in pixels, by the +1-pixel convention on normalised boxes."""
    scale = np.array([width, height, width, height], dtype=np.float64)
    x1, y1, x2, y2 = (np.asarray(boxes, dtype=np.float64) / scale).T
    pixel_x, pixel_y = 1.0 / width, 1.0 / height
    area = (x2 - x1 + pixel_x) * (y2 - y1 + pixel_y)
    overlap_x = np.minimum(x2[:, None], x2) - np.maximum(x1[:, None], x1) + pixel_x
    overlap_y = np.minimum(y2[:, None], y2) - np.maximum(y1[:, None], y1) + pixel_y
    overlap = overlap_x.clip(min=0) * overlap_y.clip(min=0)
    iou: NDArray[np.float64] = overlap / (area[:, None] + area - overlap)
    return iou


def region_loss(predicted: Tensor, target: Tensor, objective: str, count: Tensor | None = None) -> Tensor:
    """Loss of M masked regions of matched pairs; 0 when M is 0.

    Args:
        predicted: [M,C] class logits, or [M,F] features.
        target: [M,C] class distributions, or [M,F] features.
        objective: ``classify`` (KL divergence) or ``regress`` (squared error), summed over the last axis and averaged
            over regions.
        count: divide by this number instead of M.
    """
    if not len(target):
        return predicted.sum() * 0.0
    predicted, target = predicted.float(), target.float()
    divisor = len(target) if count is None else count
    if objective == "classify":
        return nn.functional.kl_div(predicted.log_softmax(dim=-1), target, reduction="sum") / divisor
    return (predicted - target).square().sum() / divisor
