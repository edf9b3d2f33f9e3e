"""The optimizer of every training run."""

from __future__ import annotations

import torch
from torch import nn
from torch.distributed.tensor import DTensor

from interbert.training.options import TrainingOptions
from interbert.training.reference_optimizer import ReferenceAdam


def make_optimizer(
    model: nn.Module, options: TrainingOptions, bert_filled: frozenset[str] = frozenset()
) -> torch.optim.Optimizer:
    """AdamW; no decay on biases and LayerNorms, a lower rate for what a BERT filled. Or the reference's.

    Args:
        model: its parameters that want gradients.
        options: learning rates and decay.
        bert_filled: names of parameters that a BERT filled.
    """
    groups: dict[tuple[float, float, bool], list[nn.Parameter]] = {}
    for name, parameter in model.named_parameters():
        if not parameter.requires_grad:
            continue
        decayed = (parameter.ndim >= 2) != options.reference_quirks
        decay = options.weight_decay if decayed else 0.0
        scale = options.bert_learning_rate_scale if name in bert_filled else 1.0
        # one fused step takes either sharded tensors or plain ones
        groups.setdefault((decay, scale, isinstance(parameter, DTensor)), []).append(parameter)
    rate = options.learning_rate
    settings = [
        {"params": parameters, "weight_decay": decay, "lr": rate * scale}
        for (decay, scale, _), parameters in sorted(groups.items(), key=lambda item: item[0])
    ]
    if options.reference_quirks:
        return ReferenceAdam(settings, lr=rate, max_grad_norm=options.max_grad_norm)
    return torch.optim.AdamW(settings, lr=rate, fused=True)


def up_then_down(optimizer: torch.optim.Optimizer, steps: int) -> torch.optim.lr_scheduler.LambdaLR:
    """A tenth of the steps of warm-up, then down to zero: how heads are fitted before training."""
    return torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: min(1.0, 10 * (step + 1) / steps) * (1 - step / steps)
    )
