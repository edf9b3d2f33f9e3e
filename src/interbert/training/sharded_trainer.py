"""The Hugging Face Trainer with a model that may be sharded: what it writes and reads is the same either way.

The library's own way to FSDP2 is closed to a CPU, and so to tests; torch's is not.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import torch
from safetensors.torch import load_file, save_file
from torch import nn
from transformers import PreTrainedModel, Trainer, TrainingArguments
from transformers.trainer import OPTIMIZER_NAME, SCHEDULER_NAME
from transformers.utils import SAFE_WEIGHTS_NAME

from interbert.tasks.base import Losses, TaskModule
from interbert.training.sharding import Sharding


class ShardedTrainer(Trainer):  # type: ignore[misc]
    """Shards the model between processes when asked to, and keeps checkpoints whole.

    Args:
        model: to train.
        losses: of the task.
        args: Hugging Face's.
        shard: share weights, gradients and optimizer state out; one process alone has all of them in any case.
        others: of the base class.
    """

    def __init__(self, model: nn.Module, losses: Losses, args: TrainingArguments, shard: bool, **others: Any) -> None:
        self._trained = TaskModule(model, losses)
        sharded = shard and args.world_size > 1
        self.sharding = Sharding(self._trained, args.device, args.world_size) if sharded else None
        super().__init__(model=model, args=args, **others)

    @contextmanager
    def whole_model(self) -> Iterator[PreTrainedModel]:
        """The model with its present weights, free of wrappers; collective when it is sharded."""
        if self.sharding is None:
            yield self.accelerator.unwrap_model(self.model)
        else:
            with self.sharding.whole_model() as model:
                yield model

    def save_model(self, output_dir: str | None = None, _internal_call: bool = False) -> None:
        """Write the whole model."""
        assert output_dir is not None
        if self.sharding is None:
            if isinstance(self.model, PreTrainedModel):
                super().save_model(output_dir, _internal_call)
            else:  # as dense as safetensors wants it
                Path(output_dir).mkdir(exist_ok=True)
                state = {name: value.contiguous() for name, value in self.model.state_dict().items()}
                save_file(state, Path(output_dir) / SAFE_WEIGHTS_NAME)
            return
        with self.sharding.whole_model() as model:
            if self.args.should_save:
                model.save_pretrained(output_dir)

    def _wrap_model(self, model: nn.Module, training: bool = True, dataloader: Any = None) -> Any:
        """Wrap the model with its losses; the model alone is what is written, read and optimised by its own names."""
        sharded = self.sharding is not None  # what the library would put around it is in it, but for autocast
        return self.accelerator.prepare_model(self._trained, device_placement=not sharded, evaluation_mode=sharded)

    def _save_optimizer_and_scheduler(self, output_dir: str) -> None:
        if self.sharding is None:
            super()._save_optimizer_and_scheduler(output_dir)
            return
        state = self.sharding.optimizer_state(self._plain_optimizer())
        if self.args.should_save:
            torch.save(state, Path(output_dir) / OPTIMIZER_NAME)
            torch.save(self.lr_scheduler.state_dict(), Path(output_dir) / SCHEDULER_NAME)

    def _load_optimizer_and_scheduler(self, checkpoint: str | None) -> None:
        if self.sharding is None or checkpoint is None:
            super()._load_optimizer_and_scheduler(checkpoint)
            return
        state, schedule = (
            torch.load(Path(checkpoint) / name, map_location="cpu", weights_only=True)
            for name in (OPTIMIZER_NAME, SCHEDULER_NAME)
        )
        self.sharding.load_optimizer(self._plain_optimizer(), state)
        self.lr_scheduler.load_state_dict(schedule)

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: nn.Module | None = None) -> None:
        if self.sharding is None:
            super()._load_from_checkpoint(resume_from_checkpoint, model)
        else:
            self.sharding.load(load_file(Path(resume_from_checkpoint) / SAFE_WEIGHTS_NAME))

    def _plain_optimizer(self) -> torch.optim.Optimizer:
        """The optimizer inside the library's wrapper."""
        return cast(torch.optim.Optimizer, getattr(self.optimizer, "optimizer", self.optimizer))
