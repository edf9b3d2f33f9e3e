"""Vectors of all processes' batches in every process, so that contrast sees them all."""

from __future__ import annotations

from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor


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
