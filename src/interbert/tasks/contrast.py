"""The contrastive objective of a model with a dual-encoder mode (SPEC part 6), over the batches of all processes.

Shapes: B batch, P pooled size, D contrastive size, K true pairs of all processes.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

from interbert.losses.contrastive import contrastive_loss_from_scores
from interbert.losses.pretraining import IGNORE_LABEL, MATCH, MISMATCH, matching_loss
from interbert.model.modeling import InterBertForImageTextRetrieval, Matcher, apply_to

_SKIP_WEIGHT = 0.1
"""Of the part of the vectors that skips the layers. What belongs to it alone learns by Adam, whatever its weight; what
it shares with the layers is to learn for them."""
_HEAD_SHARE = 0.3
"""Weight of the matching head's contrast beside the cosines': at 1 it costs the dual encoder a sixth of its recall."""


class _Gather(torch.autograd.Function):
    """All processes' rows, in process order; a row's gradient is the sum of what every process makes of it."""

    @staticmethod
    def forward(context: Any, rows: Tensor) -> Tensor:
        context.count = len(rows)
        parts = [torch.empty_like(rows) for _ in range(dist.get_world_size())]
        dist.all_gather(parts, rows.contiguous())
        return torch.cat(parts)

    @staticmethod
    def backward(context: Any, gradient: Tensor) -> Tensor:
        gradient = gradient.contiguous()
        dist.all_reduce(gradient)
        start = dist.get_rank() * context.count
        return gradient[start : start + context.count]


def gather_rows(rows: Tensor, total: int) -> Tensor:
    """Rows [B,...] of every process as [total,...]; as they are when they are all.

    Every process must have as many rows. A loss that every process computes on the gathered rows has, averaged over
    processes as data-parallel wrappers do, the gradients of one process that had all rows.

    Args:
        rows: this process's.
        total: rows of all processes together.
    """
    if len(rows) == total:
        return rows
    gathered: Tensor = _Gather.apply(rows)
    return gathered


def contrast(
    model: Matcher,
    text_pooled: Tensor,
    image_pooled: Tensor,
    same: Tensor | None = None,
    words: Tensor | None = None,
    global_token: Tensor | None = None,
) -> Tensor:
    """Contrast of pooled vectors [B,P] of separately encoded sides: by the dual encoder's cosines and by the head.

    With the sides encoded apart the matching logit difference is an inner product (SPEC part 6), so a batch's
    pairs cost one product of the pooled vectors. It teaches the matching head to match before the joint pass can:
    from random negatives alone that head stays at its chance value for thousands of steps.

    Args:
        model: whose heads are contrasted.
        text_pooled, image_pooled: of this process.
        same: bool [K,K], True where two pairs share image or text and are no negatives; with K above B, the pairs of
            all processes are contrasted together.
        words: of :meth:`~interbert.model.modeling.Matcher.words` [B,D], for the cosines.
        global_token: of :meth:`~interbert.model.modeling.Matcher.global_token` [B,H], for the cosines.
    """
    total = len(text_pooled) if same is None else len(same)
    words = None if words is None else gather_rows(words, total)
    global_token = None if global_token is None else gather_rows(global_token, total)
    text_pooled, image_pooled = gather_rows(text_pooled, total), gather_rows(image_pooled, total)
    losses: list[tuple[float, Tensor]] = []
    if model.config.contrastive_size is not None:
        head = model.contrastive_head
        parts = head.logits(head.text(text_pooled, words), head.image(image_pooled, global_token))
        for weight, logits in zip((1.0, _SKIP_WEIGHT), parts, strict=False):
            losses.append((weight, contrastive_loss_from_scores(logits, same)))
    if model.config.fusion == "mul":
        match = model.matching_head.weight[0] - model.matching_head.weight[1]
        by_head = contrastive_loss_from_scores((text_pooled * match) @ image_pooled.T, same)
        losses.append((_HEAD_SHARE if losses else 1.0, by_head))
    assert len(losses) > 0, "neither a contrastive head nor a product to contrast"
    return torch.stack([weight * loss for weight, loss in losses]).sum() / sum(weight for weight, _ in losses)


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
        scores = head.scale * (head.text(text_pooled, words) @ head.image(image_pooled, image[:, 0]).T)
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
        losses["contrastive_loss"] = contrast(
            model, text_pooled, image_pooled, batch["contrast_same"], words, image[:, 0]
        )
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
