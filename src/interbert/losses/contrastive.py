"""Contrast of separately encoded sides (SPEC part 6): each text must find its image among the batch's, and back.

For K true pairs with scores s[i,j] of text i against image j::

    loss = -1/(2K) * sum_i ( log softmax_j(s[i,:])[i] + log softmax_j(s[:,i])[i] )
    s[i,j] = exp(t) * cos(text_i, image_j)               by the projections, t learned
    s[i,j] = (w0 - w1) . (text_i * image_j)              by the matching head (fusion mul)

Negatives are all other pairs of the batch, save those that share image or text with pair i, or that judgements call
relevant to it. Chance is ln K.

Source: InfoNCE (van den Oord et al. 2018, arXiv 1807.03748, equation 4), taken in both directions with a learned
temperature as in CLIP (Radford et al. 2021, arXiv 2103.00020, section 2.3 and figure 3). The paper has no such
objective. Which scores are contrasted, and with what weights: :func:`interbert.tasks.contrast.contrast`.

Example::

    cosines = text_vectors @ image_vectors.T               # [K,K], unit vectors
    loss = contrastive_loss_from_scores(head.scale * cosines, same)
"""

from __future__ import annotations

import torch
from torch import Tensor, nn


def contrastive_loss_from_scores(scores: Tensor, same: Tensor | None = None) -> Tensor:
    """Symmetric cross-entropy; 0 for fewer than two pairs.

    Args:
        scores: [K,K], text i against image j, already divided by the temperature.
        same: bool [K,K], True where pairs i and j share image or text: they are not each other's negatives.
    """
    count = len(scores)
    if count < 2:
        return scores.sum() * 0.0
    relevant = None if same is None else same & ~torch.eye(count, dtype=torch.bool, device=scores.device)
    return (find_answers(scores, relevant) + find_answers(scores.T, None if relevant is None else relevant.T)) / 2


def find_answers(scores: Tensor, also_relevant: Tensor | None = None) -> Tensor:
    """Cross-entropy of each row with its own column as the answer: one direction of the above, with M >= K candidates.

    Args:
        scores: [K,M], divided by the temperature; row i's answer is column i.
        also_relevant: bool [K,M], True where a candidate is relevant too and so no negative.
    """
    scores = scores.float()
    if also_relevant is not None:
        scores = scores.masked_fill(also_relevant, float("-inf"))
    return nn.functional.cross_entropy(scores, torch.arange(len(scores), device=scores.device))
