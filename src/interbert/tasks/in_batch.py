"""Hard negatives from the batch: a true pair gets an image and a text that the dual encoder confuses it with.

As the dual encoder learns, its mistakes change, and so do the negatives (Li et al. 2021, ALBEF, section 3.2). Draws
come in as numbers that belong to the samples, so that a restarted run draws the same.

Shapes: K true pairs, the whole batch; R image tokens, T text tokens, H hidden size.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from interbert.losses.pretraining import IGNORE_LABEL, MATCH, MISMATCH, matching_loss
from interbert.model.retrieval import InterBertForImageTextRetrieval
from interbert.model.trunk import apply_to
from interbert.tasks.contrast import contrast


def in_batch_losses(model: InterBertForImageTextRetrieval, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Matching loss of true pairs with the negatives chosen from their batch, and the contrastive loss.

    Each pair is embedded once, and once encoded in dual mode: for the choice, and for the contrast.

    Args:
        model: with a dual encoder.
        batch: of :class:`~interbert.data.collation.RetrievalCollator`, true pairs alone. Rows of negatives, which are
            chosen on the device, stay padded on a GPU.
    """
    trunk, head = model.interbert, model.contrastive_head
    ids, text_mask, image_mask = batch["input_ids"], batch.get("attention_mask"), batch.get("region_mask")
    text = trunk.text_embeddings(ids, batch.get("token_type_ids"))
    image = trunk.image_embeddings(batch["region_features"], batch["region_locations"])
    words = model.words(ids, text_mask)
    text_pooled = trunk.encode_embedded(
        text, None, text_mask, pooled_only=True, skip_padding=True, real_tokens=batch.get("real_tokens")
    ).text_pooled
    image_pooled = trunk.encode_embedded(
        None, image, None, image_mask, pooled_only=True, skip_padding=True, real_regions=batch.get("real_regions")
    ).image_pooled
    assert text_pooled is not None
    assert image_pooled is not None
    with torch.no_grad():
        scores = head.scale * (head.text(text_pooled, words) @ head.image(image_pooled).T)
    images, texts, usable = choose_in_batch(
        scores, batch["negative_same"], batch["negative_draws"], batch["negative_hardness"]
    )
    output = trunk.encode_embedded(
        hard_batch(text, texts, first=False),
        hard_batch(image, images, first=True),
        apply_to(text_mask, lambda side: hard_batch(side, texts, first=False)),
        apply_to(image_mask, lambda side: hard_batch(side, images, first=True)),
        pooled_only=True,
        skip_padding=True,
    )
    negative = torch.where(usable, MISMATCH, IGNORE_LABEL)
    labels = torch.cat([torch.full_like(negative, MATCH), negative, negative])
    losses = {"matching_loss": matching_loss(model.matching_logits(output), labels)}
    if "contrast_same" in batch:
        losses["contrastive_loss"] = contrast(model, text_pooled, image_pooled, batch["contrast_same"], words)
    return losses


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
