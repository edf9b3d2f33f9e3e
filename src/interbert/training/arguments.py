"""Our training options in the form the Hugging Face Trainer reads."""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import Any

import torch
from transformers import TrainingArguments
from transformers.integrations import is_tensorboard_available

from interbert.data.sampling import Cut
from interbert.errors import UsageError
from interbert.model.scoring import cpu_has_bf16
from interbert.training.options import TrainingOptions

CHECKPOINTS = "checkpoints"
_PATIENCE = 4 * 3600
"""Seconds that processes wait for the first one, which warms the model up and validates."""


def uses_bf16(options: TrainingOptions) -> bool:
    """Whether to compute in bf16 on this machine."""
    if options.precision == "auto":
        return torch.cuda.is_bf16_supported() if torch.cuda.is_available() else cpu_has_bf16()
    return options.precision == "bf16"


def attention_for_training(options: TrainingOptions) -> str:
    """Attention implementation to train with on this machine."""
    if options.attention != "auto":
        return options.attention
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
    updates = math.ceil(steps_per_epoch / options.gradient_accumulation * options.epochs)
    every = max(1, steps_per_epoch // options.gradient_accumulation // options.validations_per_epoch)
    settings: dict[str, Any] = {
        "output_dir": str(out / CHECKPOINTS),
        "num_train_epochs": options.epochs,
        "max_steps": min(options.max_steps, updates) if options.max_steps > 0 else -1,
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
