"""Image-text matching (paper section 3.2, SPEC part 3): does this text belong to this image?

Class 0 means match, class 1 mismatch; cross-entropy over the two. A head that knows nothing scores ln 2 = 0.693 on
balanced pairs: that is the value to watch the loss leave.
"""

from __future__ import annotations

import math

from torch import Tensor, nn

MATCH, MISMATCH = 0, 1

PRETRAINING_MISMATCHES = 0.5
"""Share of pretraining pairs that get another image's caption."""


def baseline_loss(mismatch_share: float = PRETRAINING_MISMATCHES) -> float:
    """Cross-entropy of a head that knows only the share of mismatches: 0.693 for half, 0.562 for three in four."""
    shares = (mismatch_share, 1.0 - mismatch_share)
    return -sum(share * math.log(share) for share in shares if share > 0)


def matching_loss(logits: Tensor, labels: Tensor) -> Tensor:
    """Mean cross-entropy of logits [B,2] and labels int64 [B]; 0 for an empty batch."""
    if not len(labels):
        return logits.sum() * 0.0
    return nn.functional.cross_entropy(logits.float(), labels)


def flat_positions(chosen: Tensor, matching_labels: Tensor | None = None) -> Tensor:
    """int64 [M], where a bool [B,L] is True in its flat order; of matched pairs alone, given their labels [B]."""
    if matching_labels is not None:
        chosen = chosen & (matching_labels == MATCH).unsqueeze(1)
    return chosen.flatten().nonzero().squeeze(1)
