"""Masked segment modeling (paper section 3.2, SPEC part 3): cross-entropy over predicted tokens only."""

from __future__ import annotations

from torch import Tensor, nn

IGNORE_LABEL = -100


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
