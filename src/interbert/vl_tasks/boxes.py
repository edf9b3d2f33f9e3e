"""Boxes of official files, and the IoU that grounding tasks are judged by."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from interbert.vl_tasks.example import Box


def iou(one: Box, other: Box) -> float:
    """:func:`iou_matrix` of two boxes."""
    return float(iou_matrix([one], [other])[0, 0])


def iou_matrix(boxes: Sequence[Box] | NDArray[Any], others: Sequence[Box] | NDArray[Any]) -> NDArray[np.float64]:
    """Intersection over union [N,M] of boxes [N,4] and [M,4], with areas (x2 - x1) * (y2 - y1).

    No pixel is added to a side: with boxes given as x, y, w, h an area is w * h, as in MAttNet and UNITER; ViLBERT and
    VOLTA add a pixel to each side, and so does masking (:func:`~interbert.data.masking.region_iou`).
    """
    first, second = (np.asarray(part, dtype=np.float64).reshape(-1, 4) for part in (boxes, others))
    low = np.maximum(first[:, None, :2], second[None, :, :2])
    high = np.minimum(first[:, None, 2:], second[None, :, 2:])
    shared = (high - low).clip(min=0).prod(axis=-1)
    areas, other_areas = ((part[:, 2:] - part[:, :2]).clip(min=0).prod(axis=-1) for part in (first, second))
    union = areas[:, None] + other_areas - shared
    found: NDArray[np.float64] = np.divide(shared, union, out=np.zeros_like(shared), where=union > 0)
    return found


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
