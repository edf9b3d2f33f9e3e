"""Which of the described proposals become an image's regions (bottom-up attention, section 3.1).

Shapes: R proposals of an image, K classes (background first), N regions.
"""

from __future__ import annotations

import torch
from torch import Tensor

from interbert.extraction.frcnn.boxes import nms

_FLOORS = (0.02, 0.001, 0.0)
"""Below the threshold, confidences are looked at in steps: most images have enough boxes before the last."""


def select_regions(boxes: Tensor, class_probs: Tensor, threshold: float, least: int, most: int, iou: float) -> Tensor:
    """Indices [N] of the chosen proposals, most confident first.

    A proposal's confidence is its highest class probability among the classes in which no better proposal overlaps it
    (non-maximum suppression for each object class by itself). All with a confidence of at least ``threshold`` are
    chosen, but ``least`` to ``most`` of them. ``least`` equal to ``most`` is the variant with a fixed number. There are
    fewer only when there are fewer proposals.

    Args:
        boxes: in which plain IoU holds.
        class_probs: background first.
        threshold: confidence.
        least: chosen even below the threshold.
        most: not more.
        iou: overlap above which the less probable proposal is dropped from a class.
    """
    confidence = confidences(boxes, class_probs, threshold, iou)
    for floor in _FLOORS:
        if int((confidence >= 0).sum()) >= min(least, len(boxes)):
            break
        if floor < threshold:
            confidence = confidences(boxes, class_probs, floor, iou)
    ranked = confidence.argsort(descending=True, stable=True)
    count = min(max(int((confidence >= threshold).sum()), least), most)
    return ranked[:count]


def confidences(boxes: Tensor, class_probs: Tensor, floor: float, iou: float) -> Tensor:
    """The confidence of each proposal [R]; -1 where it is below ``floor``.

    Only probabilities of at least ``floor`` are looked at. That changes no confidence above it: what drops a proposal
    from a class is more probable than the proposal.
    """
    result = class_probs.new_full((len(boxes),), -1.0)
    rows, classes = (class_probs[:, 1:] >= floor).nonzero(as_tuple=True)
    order = classes.argsort(stable=True)
    rows, classes = rows[order], classes[order] + 1
    counts = torch.unique_consecutive(classes, return_counts=True)
    start = 0
    for name, count in zip(*(one.tolist() for one in counts), strict=True):
        members = rows[start : start + count]
        start += count
        probabilities = class_probs[members, name]
        kept = nms(boxes[members], probabilities, iou)
        result[members[kept]] = torch.maximum(result[members[kept]], probabilities[kept])
    return result


def best_boxes(proposals: Tensor, refined: Tensor, class_probs: Tensor) -> Tensor:
    """The box [R,4] that each proposal's most probable object moved it to; the proposal where that has no area."""
    best = class_probs[:, 1:].argmax(dim=1)
    boxes = refined[torch.arange(len(best), device=best.device), best]
    has_area = (boxes[:, 2:] > boxes[:, :2]).all(dim=1, keepdim=True)
    return torch.where(has_area, boxes, proposals)
