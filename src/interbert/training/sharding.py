"""Weights, gradients and optimizer state shared out between processes (PyTorch's FSDP2), written as if they were not.

A checkpoint and a model directory of a sharded run have the files and names of any other: process 0 writes whole
tensors, and each process takes its share of them when a run goes on.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, cast

import torch
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
from transformers import PreTrainedModel

from interbert.tasks.base import TaskModule

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
