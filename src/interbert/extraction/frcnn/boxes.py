"""Boxes from deltas, boxes inside the image, and which boxes are boxes.

``pixel`` is what a width is more than the difference of its coordinates (:class:`FrcnnConfig`): 1 or 0.
Boxes are x1, y1, x2, y2. Shapes: N boxes, K deltas for each.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from interbert.errors import MissingExtraError

try:
    from torchvision.ops import nms, roi_pool
except ImportError as missing:
    raise MissingExtraError.of("torchvision", "extraction") from missing

__all__ = ["nms", "roi_pool"]

_MAX_GROWTH = math.log(1000.0 / 16)
"""A box never grows by more than from 16 to 1000 pixels."""


def decode_boxes(boxes: Tensor, deltas: Tensor, weights: tuple[float, float, float, float], pixel: float) -> Tensor:
    """Boxes moved and scaled by what the network says, [N,K,4].

    The centre moves by dx widths and dy heights; width and height are multiplied by exp(dw) and exp(dh)
    (R-CNN, appendix C).
    """
    widths = (boxes[:, 2] - boxes[:, 0] + pixel)[:, None]
    heights = (boxes[:, 3] - boxes[:, 1] + pixel)[:, None]
    centre_x = boxes[:, 0, None] + widths / 2
    centre_y = boxes[:, 1, None] + heights / 2
    dx, dy, dw, dh = (deltas / deltas.new_tensor(weights)).unbind(dim=-1)
    centre_x = centre_x + dx * widths
    centre_y = centre_y + dy * heights
    half_widths = widths * dw.clamp(max=_MAX_GROWTH).exp() / 2
    half_heights = heights * dh.clamp(max=_MAX_GROWTH).exp() / 2
    corners = (centre_x - half_widths, centre_y - half_heights, centre_x + half_widths, centre_y + half_heights)
    return torch.stack(corners, dim=-1)


def clip_boxes(boxes: Tensor, width: float, height: float, pixel: float) -> Tensor:
    """Boxes [...,4] with every coordinate inside an image of this size."""
    limits = boxes.new_tensor((width - pixel, height - pixel, width - pixel, height - pixel))
    return torch.minimum(boxes.clamp(min=0), limits)


def large_enough(boxes: Tensor, side: float, pixel: float) -> Tensor:
    """Which boxes have an area, and both sides above ``side``: bool [N]."""
    sides = boxes[:, 2:] - boxes[:, :2]
    return ((sides > 0) & (sides + pixel > side)).all(dim=1)


def for_nms(boxes: Tensor, pixel: float) -> Tensor:
    """Boxes whose plain IoU is the IoU of ``boxes`` by their own count of pixels."""
    return boxes + boxes.new_tensor((0.0, 0.0, pixel, pixel))
