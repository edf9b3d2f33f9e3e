"""Our training options in the form that the Hugging Face Trainer reads, and the optimizer of every training run."""

from __future__ import annotations

import logging
import math
import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributed.tensor import DTensor
from torch.optim.lr_scheduler import LambdaLR
from transformers import TrainingArguments
from transformers.integrations import is_tensorboard_available

from interbert.data.sampling import Cut
from interbert.errors import UsageError
from interbert.model.scoring import cpu_has_bf16
from interbert.training.options import TrainingOptions
from interbert.training.plan import plan_of

_logger = logging.getLogger(__name__)


class ReferenceAdam(torch.optim.Optimizer):
    """Adam without bias correction, each parameter's gradient clipped by itself, decay decoupled.

    Without the correction the first steps are larger by (1 - 0.9) / sqrt(1 - 0.999), three times: warm-up hides it.

    Args:
        params: parameters or groups.
        lr: learning rate.
        betas: of the two averages.
        eps: added to the root of the second one.
        weight_decay: times the learning rate, of the weight itself.
        max_grad_norm: of every parameter on its own.
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-6,
        weight_decay: float = 0.0,
        max_grad_norm: float = 1.0,
    ) -> None:
        settings = {
            "lr": lr,
            "betas": betas,
            "eps": eps,
            "weight_decay": weight_decay,
            "max_grad_norm": max_grad_norm,
        }
        super().__init__(params, settings)

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        """One update of every parameter that has a gradient."""
        assert closure is None, "the losses are computed outside"
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None:
                    self._update(parameter, parameter.grad, group)

    def _update(self, parameter: Tensor, gradient: Tensor, group: dict[str, Any]) -> None:
        state = self.state[parameter]
        if not state:
            state["mean"] = torch.zeros_like(parameter)
            state["square"] = torch.zeros_like(parameter)
        gradient = gradient * (group["max_grad_norm"] / (gradient.norm() + 1e-6)).clamp(max=1.0)
        first, second = group["betas"]
        state["mean"].lerp_(gradient, 1 - first)
        state["square"].mul_(second).addcmul_(gradient, gradient, value=1 - second)
        change = state["mean"] / (state["square"].sqrt() + group["eps"])
        change.add_(parameter, alpha=group["weight_decay"])
        parameter.add_(change, alpha=-group["lr"])


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


CHECKPOINTS = "checkpoints"
_PATIENCE = 4 * 3600
"""Seconds that processes wait for the first one, which warms the model up and validates."""


def uses_bf16(options: TrainingOptions) -> bool:
    """Whether to compute in bf16 on this machine."""
    if options.precision == "auto":
        return torch.cuda.is_bf16_supported() if torch.cuda.is_available() else cpu_has_bf16()
    return options.precision == "bf16"


def attention_for_training() -> str:
    """Attention implementation to train with on this machine: on a CPU eager is faster for short sequences."""
    return "sdpa" if torch.cuda.is_available() else "eager"


def cut_of(options: TrainingOptions) -> Cut:
    """How this run's processes share a step, as torchrun and accelerate number them.

    Raises:
        UsageError: the launcher was told to shard the weights, which the recipe says.
    """
    for engine in ("FSDP", "DEEPSPEED"):
        if os.environ.get(f"ACCELERATE_USE_{engine}", "").lower() in ("1", "true"):
            raise UsageError(
                f"the launcher asks for {engine}. Here training.shard shares weights out (FSDP2): set it, and launch "
                "plain processes (torchrun, or accelerate launch --multi-gpu)."
            )
    processes, process = int(os.environ.get("WORLD_SIZE", "1")), int(os.environ.get("RANK", "0"))
    return Cut(processes, process, options.gradient_accumulation)


def trainer_arguments(
    options: TrainingOptions, out: Path, steps_per_epoch: int, some_unused: bool = False, **others: Any
) -> TrainingArguments:
    """Our options in Hugging Face's form.

    Args:
        options: ours.
        out: model directory.
        steps_per_epoch: batches of one process.
        some_unused: parts of the model take no part in the loss, which processes that share it have to look for.
        others: Hugging Face's, in place of what follows from ours.
    """
    plan = plan_of(options, steps_per_epoch)
    every, counted = plan.every, options.max_steps > 0 or plan.stretch > 1
    if options.max_steps > plan.steps and cut_of(options).process == 0:
        _logger.warning(
            f"training.max_steps is {options.max_steps:,}, and {options.epochs:g} passes (training.epochs) end after "
            f"{plan.steps:,} steps: training ends there. Raise training.epochs for more."
        )
    settings: dict[str, Any] = {
        "output_dir": str(out / CHECKPOINTS),
        "num_train_epochs": plan.epochs,
        "max_steps": plan.steps if counted else -1,
        "per_device_train_batch_size": options.batch_size,
        "gradient_accumulation_steps": options.gradient_accumulation,
        "learning_rate": options.learning_rate,
        "warmup_steps": options.warmup,  # below 1 it is a share of all steps
        "lr_scheduler_type": "linear" if options.schedule == "step" else options.schedule,
        "weight_decay": options.weight_decay,
        "max_grad_norm": 0.0 if options.reference_quirks else options.max_grad_norm,  # that optimizer clips itself
        "bf16": uses_bf16(options),
        "seed": options.seed,
        "logging_steps": min(options.log_steps, every, options.max_steps if options.max_steps > 0 else every),
        "eval_strategy": "steps",
        "eval_steps": every,
        "save_strategy": "steps",
        "save_steps": every,
        "save_total_limit": 2,
        "report_to": ["tensorboard"] if is_tensorboard_available() else [],
        "dataloader_num_workers": options.workers,
        "dataloader_pin_memory": torch.cuda.is_available(),
        "remove_unused_columns": False,
        "optim": "adamw_torch_fused",
        "torch_compile": options.compile,
        "use_cpu": not torch.cuda.is_available(),
        "label_names": [],
        "disable_tqdm": True,
        "logging_nan_inf_filter": False,  # the trainer looks itself
        "ddp_timeout": _PATIENCE,
        "ddp_find_unused_parameters": some_unused,
    }
    return TrainingArguments(**(settings | others))
