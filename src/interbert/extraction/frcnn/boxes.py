"""Boxes from deltas, boxes inside the picture, and which boxes are boxes.

``pixel`` is what a width is more than the difference of its coordinates (:class:`FrcnnConfig`): 1 or 0.
Boxes are x1, y1, x2, y2. Shapes: N boxes, K deltas for each.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

_MAX_GROWTH = math.log(1000.0 / 16)
"""A box never grows by more than from 16 to 1000 pixels."""


def decode_boxes(
    boxes_N4: Tensor, deltas_NK4: Tensor, weights: tuple[float, float, float, float], pixel: float
) -> Tensor:
    """Boxes moved and scaled by what the network says, [N,K,4].

    The centre moves by dx widths and dy heights; width and height are multiplied by exp(dw) and exp(dh)
    (R-CNN, appendix C).
    """
    widths = (boxes_N4[:, 2] - boxes_N4[:, 0] + pixel)[:, None]
    heights = (boxes_N4[:, 3] - boxes_N4[:, 1] + pixel)[:, None]
    centre_x = boxes_N4[:, 0, None] + widths / 2
    centre_y = boxes_N4[:, 1, None] + heights / 2
    dx, dy, dw, dh = (deltas_NK4 / deltas_NK4.new_tensor(weights)).unbind(dim=-1)
    centre_x = centre_x + dx * widths
    centre_y = centre_y + dy * heights
    half_widths = widths * dw.clamp(max=_MAX_GROWTH).exp() / 2
    half_heights = heights * dh.clamp(max=_MAX_GROWTH).exp() / 2
    corners = (centre_x - half_widths, centre_y - half_heights, centre_x + half_widths, centre_y + half_heights)
    return torch.stack(corners, dim=-1)


def clip_boxes(boxes: Tensor, width: float, height: float, pixel: float) -> Tensor:
    """Boxes [...,4] with every coordinate inside a picture of this size."""
    limits = boxes.new_tensor((width - pixel, height - pixel, width - pixel, height - pixel))
    return torch.minimum(boxes.clamp(min=0), limits)


def large_enough(boxes_N4: Tensor, side: float, pixel: float) -> Tensor:
    """Which boxes have an area, and both sides above ``side``: bool [N]."""
    sides = boxes_N4[:, 2:] - boxes_N4[:, :2]
    return ((sides > 0) & (sides + pixel > side)).all(dim=1)


def for_nms(boxes_N4: Tensor, pixel: float) -> Tensor:
    """Boxes whose plain IoU is the IoU of ``boxes_N4`` by their own count of pixels."""
    return boxes_N4 + boxes_N4.new_tensor((0.0, 0.0, pixel, pixel))
