"""Boxes of official files, and the IoU that grounding tasks are judged by."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from interbert.vl_tasks.example import Box


def iou(one: Box, other: Box) -> float:
    """Intersection over union of two boxes, with areas (x2 - x1) * (y2 - y1): no pixel is added to a side.

    With boxes given as x, y, w, h this is w * h, as in MAttNet and UNITER; ViLBERT and VOLTA add a pixel to each side.
    """
    width = min(one[2], other[2]) - max(one[0], other[0])
    height = min(one[3], other[3]) - max(one[1], other[1])
    shared = max(width, 0.0) * max(height, 0.0)
    union = _area(one) + _area(other) - shared
    return shared / union if union > 0 else 0.0


def _area(box: Box) -> float:
    return max(box[2] - box[0], 0.0) * max(box[3] - box[1], 0.0)


def enclosing(boxes: Sequence[Box]) -> Box:
    """The smallest box around at least one box."""
    lefts, tops, rights, bottoms = zip(*boxes, strict=True)
    return (min(lefts), min(tops), max(rights), max(bottoms))


def from_xywh(value: Any) -> Box | None:
    """x1, y1, x2, y2 of a list x, y, w, h; None when it is none, or has a negative side."""
    numbers = _four(value)
    if numbers is None or numbers[2] < 0 or numbers[3] < 0:
        return None
    return (numbers[0], numbers[1], numbers[0] + numbers[2], numbers[1] + numbers[3])


def from_corners(value: Any) -> Box | None:
    """A list x1, y1, x2, y2; None when it is none, or is inside out."""
    numbers = _four(value)
    return None if numbers is None or numbers[2] < numbers[0] or numbers[3] < numbers[1] else numbers


def to_xywh(box: Box) -> list[float]:
    """x, y, w, h."""
    return [box[0], box[1], box[2] - box[0], box[3] - box[1]]


def _four(value: Any) -> Box | None:
    if not isinstance(value, list | tuple) or len(value) != 4:
        return None
    if any(isinstance(one, bool) or not isinstance(one, int | float) or abs(one) > 1e9 for one in value):
        return None
    numbers = tuple(map(float, value))
    return (numbers[0], numbers[1], numbers[2], numbers[3]) if all(map(math.isfinite, numbers)) else None
