"""Hard negatives from the batch: a true pair gets an image and a text that the dual encoder confuses it with.

As the dual encoder learns, its mistakes change, and so do the negatives (Li et al. 2021, ALBEF, section 3.2). Draws
come in as numbers that belong to the samples, so that a restarted run draws the same.
"""

from __future__ import annotations

import torch
from torch import Tensor


def choose_in_batch(scores: Tensor, same: Tensor, draws: Tensor, hardness: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """A wrong image for each text and a wrong text for each image, drawn in proportion to exp(hardness x score).

    Args:
        scores: [K,K], text i against image j, divided by the temperature; no gradient flows through the choice.
        same: bool [K,K], True where i and j share image or text (the diagonal too): never chosen.
        draws: [K,2,K] numbers in (0,1), one row per sample for its image and one for its text.
        hardness: scalar from 0 (evenly) to 1.

    Returns:
        Indices [K] of images, of texts, and bool [K], False where everything in the batch is right for the sample.
    """
    noise = -(-draws.float().clamp(1e-7, 1 - 1e-7).log()).log()  # Gumbel: the largest sum is a draw from the softmax
    tempered = (scores.detach().float() * hardness).masked_fill(same, float("-inf"))
    images = (tempered + noise[:, 0]).argmax(dim=1)
    texts = (tempered.T + noise[:, 1]).argmax(dim=1)
    return images, texts, ~same.all(dim=1)


def hard_batch(side: Tensor, negatives: Tensor, first: bool) -> Tensor:
    """One side [K,...] of the true pairs, then of (text, wrong image), then of (wrong text, image): [3K,...].

    Args:
        side: texts or images of the true pairs.
        negatives: [K] indices of wrong ones of this side.
        first: whether this is the image side, whose wrong ones come in the second block.
    """
    # gradients of a row that is chosen twice are added in one order, which those of side[negatives] are not on a CPU
    wrong = side.index_select(0, negatives)
    return torch.cat([side, wrong, side] if first else [side, side, wrong])
