"""Contrast of separately encoded sides (SPEC part 6): each text must find its picture among the batch's, and back.

Symmetric InfoNCE over scaled similarities: the mean of the cross-entropies of rows and columns with the diagonal as
the answer. A model that knows nothing scores ln K.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn


def contrastive_loss_from_scores(scores: Tensor, same: Tensor | None = None) -> Tensor:
    """Symmetric cross-entropy; 0 for fewer than two pairs.

    Args:
        scores: [K,K], text i against picture j, already divided by the temperature.
        same: bool [K,K], True where pairs i and j share picture or text: they are not each other's negatives.
    """
    count = len(scores)
    if count < 2:
        return scores.sum() * 0.0
    right = None if same is None else same & ~torch.eye(count, dtype=torch.bool, device=scores.device)
    return (find_answers(scores, right) + find_answers(scores.T, None if right is None else right.T)) / 2


def find_answers(scores: Tensor, also_right: Tensor | None = None) -> Tensor:
    """Cross-entropy of each row with its own column as the answer: one direction of the above, with M >= K candidates.

    Args:
        scores: [K,M], divided by the temperature; row i's answer is column i.
        also_right: bool [K,M], True where a candidate is right too and so no negative.
    """
    scores = scores.float()
    if also_right is not None:
        scores = scores.masked_fill(also_right, float("-inf"))
    return nn.functional.cross_entropy(scores, torch.arange(len(scores), device=scores.device))
