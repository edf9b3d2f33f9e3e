"""The contrastive objective of a model with a dual-encoder mode (SPEC part 6), over the batches of all processes.

Shapes: B batch, P pooled size, D contrastive size, K true pairs of all processes.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

from interbert.losses.contrastive import contrastive_loss_from_scores
from interbert.model.matcher import Matcher

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
        words: of :meth:`~interbert.model.matcher.Matcher.words` [B,D], for the cosines.
    """
    total = len(text_pooled) if same is None else len(same)
    words = None if words is None else gather_rows(words, total)
    text_pooled, image_pooled = gather_rows(text_pooled, total), gather_rows(image_pooled, total)
    losses: list[tuple[float, Tensor]] = []
    if model.config.contrastive_size is not None:
        head = model.contrastive_head
        cosines = head.text(text_pooled, words) @ head.image(image_pooled).T
        losses.append((1.0, contrastive_loss_from_scores(cosines * head.scale, same)))
    if model.config.fusion == "mul":
        match = model.matching_head.weight[0] - model.matching_head.weight[1]
        by_head = contrastive_loss_from_scores((text_pooled * match) @ image_pooled.T, same)
        losses.append((_HEAD_SHARE if losses else 1.0, by_head))
    assert len(losses) > 0, "neither a contrastive head nor a product to contrast"
    return torch.stack([weight * loss for weight, loss in losses]).sum() / sum(weight for weight, _ in losses)
