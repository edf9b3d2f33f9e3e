"""The three losses of pretraining (paper section 3.2, SPEC part 3), all that models know of training.

*Masked segment modeling*: cross-entropy over predicted tokens only.

*Masked region modeling*: KL(detector's class distribution || predicted), summed over classes and averaged over masked
regions of matched pairs; or the squared error of the region feature, summed over F.

*Image-text matching*: does this text belong to this image? Class 0 means match, class 1 mismatch; cross-entropy over
the two. A head that knows nothing scores ln 2 = 0.693 on balanced pairs: that is the value to watch the loss leave.

Shapes: B batch, L sequence length, M predicted positions, V vocabulary, C region classes, F region feature size.
"""

from __future__ import annotations

import math

from torch import Tensor, nn

IGNORE_LABEL = -100
"""Where nothing is predicted."""
MATCH, MISMATCH = 0, 1
PRETRAINING_MISMATCHES = 0.5
"""Share of pretraining pairs that get another image's caption."""


def flat_positions(chosen: Tensor, matching_labels: Tensor | None = None) -> Tensor:
    """int64 [M], where a bool [B,L] is True in its flat order; of matched pairs alone, given their labels [B]."""
    if matching_labels is not None:
        chosen = chosen & (matching_labels == MATCH).unsqueeze(1)
    return chosen.flatten().nonzero().squeeze(1)


def masked_lm_loss(logits: Tensor, labels: Tensor, count: Tensor | None = None) -> Tensor:
    """Mean cross-entropy of M predicted tokens; 0 when M is 0.

    Args:
        logits: [M,V].
        labels: int64 [M].
        count: divide the sum by this number instead of M.
    """
    if not len(labels):
        return logits.sum() * 0.0
    if count is None:
        return nn.functional.cross_entropy(logits.float(), labels)
    return nn.functional.cross_entropy(logits.float(), labels, reduction="sum") / count


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


def matching_loss(logits: Tensor, labels: Tensor) -> Tensor:
    """Mean cross-entropy of logits [B,2] and labels int64 [B]; 0 for an empty batch."""
    if not len(labels):
        return logits.sum() * 0.0
    return nn.functional.cross_entropy(logits.float(), labels)


def baseline_loss(mismatch_share: float = PRETRAINING_MISMATCHES) -> float:
    """Cross-entropy of a head that knows only the share of mismatches: 0.693 for half, 0.562 for three in four."""
    shares = (mismatch_share, 1.0 - mismatch_share)
    return -sum(share * math.log(share) for share in shares if share > 0)
