"""Weights, gradients and optimizer state shared out between processes (PyTorch's FSDP2), written as if they were not.

A checkpoint and a model directory of a sharded run have the files and names of any other: process 0 writes whole
tensors, and each process takes its share of them when a run goes on.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, distributed, nn
from torch.distributed.checkpoint.state_dict import (
    StateDictOptions,
    get_optimizer_state_dict,
    set_model_state_dict,
    set_optimizer_state_dict,
)
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import FSDPModule, fully_shard
from torch.distributed.tensor import DTensor, distribute_tensor
from transformers import PreTrainedModel, Trainer, TrainingArguments
from transformers.trainer import OPTIMIZER_NAME, SCHEDULER_NAME
from transformers.utils import SAFE_WEIGHTS_NAME

from interbert.tasks.base import Losses, TaskModule

_WHOLE = StateDictOptions(full_state_dict=True, strict=False)


class Sharding:
    """A model whose parameters are sharded in place: each layer is gathered while it is computed, the rest once.

    Validation calls a model in more ways than training does, so it gets an unsharded copy, which waits on the host in
    between. Every method that returns whole tensors is collective: all processes call it.

    Args:
        trained: whose model to shard; is moved to the device.
        device: of this process.
        processes: to share it between.
    """

    def __init__(self, trained: TaskModule, device: torch.device, processes: int) -> None:
        model = cast(PreTrainedModel, trained.model)
        self._copy = copy.deepcopy(model).cpu()
        self._model = model
        self._device = device
        mesh = init_device_mesh(device.type, (processes,))
        model.to(device)
        layers = set(model._no_split_modules)
        for module in [one for one in model.modules() if type(one).__name__ in layers]:
            fully_shard(module, mesh=mesh)
        scalars = {value for value in model.parameters() if value.ndim == 0}  # nothing to share out
        for value in scalars:
            value.register_post_accumulate_grad_hook(_average_gradient)
        fully_shard(trained, mesh=mesh, ignored_params=scalars)

    def state(self) -> dict[str, Tensor]:
        """The whole weights by name, on every process; collective."""
        return {name: whole(value) for name, value in self._model.state_dict().items()}

    def load(self, state: Mapping[str, Tensor]) -> None:
        """Give each process its share of whole weights."""
        set_model_state_dict(self._model, dict(state), options=_WHOLE)

    @contextmanager
    def whole_model(self) -> Iterator[PreTrainedModel]:
        """An unsharded copy with the present weights, on this process's device; collective."""
        model = self._copy.to(self._device)
        model.load_state_dict(self.state())
        model.train(self._model.training)
        try:
            yield model
        finally:
            model.cpu()

    def optimizer_state(self, optimizer: torch.optim.Optimizer) -> dict[str, Any]:
        """The optimizer's whole state by names of weights; collective."""
        return cast(dict[str, Any], get_optimizer_state_dict(self._model, optimizer, options=_WHOLE))

    def load_optimizer(self, optimizer: torch.optim.Optimizer, state: Mapping[str, Any]) -> None:
        """Give each process its share of what :meth:`optimizer_state` returned."""
        set_optimizer_state_dict(self._model, optimizer, dict(state), options=_WHOLE)

    @staticmethod
    def told_by_all(words: str) -> list[str]:
        """What each process says, in their order; collective."""
        said: list[str] = [""] * distributed.get_world_size()
        distributed.all_gather_object(said, words)
        return said


def _average_gradient(value: Tensor) -> None:
    """As FSDP does to what it holds; a sum over batches that was averaged before stays what it is."""
    assert value.grad is not None
    distributed.all_reduce(value.grad)
    value.grad /= distributed.get_world_size()


def is_sharded(model: nn.Module) -> bool:
    """Whether FSDP2 holds the model."""
    return isinstance(model, FSDPModule)


def whole(value: Tensor) -> Tensor:
    """A sharded tensor gathered from all processes (collective); any other as it is."""
    return value.full_tensor().detach() if isinstance(value, DTensor) else value.detach()


def share(value: Tensor) -> Tensor:
    """This process's share of a sharded tensor; any other as it is. Shares memory."""
    return value.to_local().detach() if isinstance(value, DTensor) else value.detach()


def own_share(value: Tensor, like: Tensor) -> Tensor:
    """This process's share of a whole tensor, cut as ``like`` is."""
    if not isinstance(like, DTensor):
        return value
    return share(distribute_tensor(value.to(like.device), like.device_mesh, like.placements))


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
