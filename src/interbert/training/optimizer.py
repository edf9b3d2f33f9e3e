"""The optimizer of every training run."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import nn
from torch.distributed.tensor import DTensor
from torch.optim.lr_scheduler import LambdaLR

from interbert.training.options import TrainingOptions
from interbert.training.reference_optimizer import ReferenceAdam


def make_optimizer(
    model: nn.Module, options: TrainingOptions, scaled: frozenset[str] = frozenset(), decay_all: bool = False
) -> torch.optim.Optimizer:
    """AdamW; no decay on biases and LayerNorms, a lower rate for what a BERT filled. Or the reference's.

    Args:
        model: its parameters that want gradients.
        options: learning rates and decay.
        scaled: names of parameters whose learning rate is ``bert_learning_rate_scale`` of the others'.
        decay_all: decay biases and LayerNorms, too.
    """
    groups: dict[tuple[float, float, bool], list[nn.Parameter]] = {}
    for name, parameter in model.named_parameters():
        if not parameter.requires_grad:
            continue
        decayed = decay_all or (parameter.ndim >= 2) != options.reference_quirks
        decay = options.weight_decay if decayed else 0.0
        scale = options.bert_learning_rate_scale if name in scaled else 1.0
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


def make_schedule(rate: Callable[[int, int], float], optimizer: torch.optim.Optimizer, steps: int) -> LambdaLR:
    """A schedule of so many steps.

    Args:
        rate: share of the peak learning rate at a step, of how many.
        optimizer: whose rates to set.
        steps: of the run.
    """
    return LambdaLR(optimizer, lambda step: rate(step, steps))


def up_then_down(step: int, steps: int) -> float:
    """A tenth of the steps of warm-up, then down to zero: how heads are fitted before training."""
    return min(1.0, 10 * (step + 1) / steps) * (1 - step / steps)


def step_down(warmup: int, step: int, steps: int) -> float:
    """Warm-up, then a tenth at 60% of the steps, a hundredth at 80% (SPEC part 4)."""
    if step < warmup:
        return (step + 1) / warmup
    drops = sum(step >= share * steps for share in (0.6, 0.8, 1.0))
    return math.pow(0.1, drops)
