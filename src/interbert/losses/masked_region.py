"""Masked region modeling (paper section 3.2, SPEC part 3).

KL(detector's class distribution || predicted), summed over classes and averaged over masked regions of matched pairs;
or the squared error of the region feature, summed over F.
"""

from __future__ import annotations

from torch import Tensor, nn


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
