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
    scores = scores.float()
    if same is not None:
        diagonal = torch.eye(count, dtype=torch.bool, device=scores.device)
        scores = scores.masked_fill(same & ~diagonal, float("-inf"))
    answers = torch.arange(count, device=scores.device)
    text_to_image = nn.functional.cross_entropy(scores, answers)
    image_to_text = nn.functional.cross_entropy(scores.T, answers)
    return (text_to_image + image_to_text) / 2
