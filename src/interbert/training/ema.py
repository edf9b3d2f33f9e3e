"""Exponential moving average of weights (SPEC part 4: decay 0.9999, the average is what is evaluated)."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from interbert.training.sharding import own_share, share, whole

EMA_FILE = "ema.safetensors"


class WeightAverage:
    """The average of a model's trainable weights; of a sharded model each process averages its share.

    Args:
        model: whose weights to average.
        decay: largest decay.
        warm_up: begin with the present weights and a decay that rises, min(decay, (1 + n)/(10 + n)) after n updates,
            as a short run needs; without it the decay is the same from the second update on, and the first copies.
    """

    def __init__(self, model: nn.Module, decay: float, warm_up: bool = True) -> None:
        self._model = model
        self._decay = decay
        self._warm_up = warm_up
        self._average: Any = AveragedModel(self._shares(), multi_avg_fn=self._move)
        self._average.n_averaged += int(warm_up)

    def decay_at(self, updates: int) -> float:
        """Decay of the update after ``updates`` ones."""
        return min(self._decay, (1 + updates) / (10 + updates)) if self._warm_up else self._decay

    def update(self) -> None:
        """Take in the model's present weights."""
        self._average.update_parameters(self._shares())

    @contextlib.contextmanager
    def applied(self) -> Iterator[None]:
        """Put the average into the model for the length of a block."""
        self._swap()
        try:
            yield
        finally:
            self._swap()

    def save(self, folder: Path, write: bool = True) -> None:
        """Write the average and its number of updates.

        Args:
            folder: to write to.
            write: false for all but one of the processes that share a model; all of them call.
        """
        with self.applied():
            state: dict[str, Tensor] = {name: whole(value).contiguous() for name, value in self._weights()}
            if write:
                save_file(state | {"_updates": torch.tensor(self._updates)}, folder / EMA_FILE)

    def load(self, folder: Path) -> None:
        """Read what :meth:`save` wrote."""
        state = load_file(folder / EMA_FILE)
        self._average.n_averaged.fill_(int(state.pop("_updates")) + int(self._warm_up))
        for (name, value), average in zip(self._weights(), self._average.module, strict=True):
            average.data.copy_(own_share(state[name], value))

    @property
    def _updates(self) -> int:
        return int(self._average.n_averaged) - int(self._warm_up)

    def _move(self, averages: Any, present: Any, _: Any) -> None:
        with torch.no_grad():
            torch._foreach_lerp_(averages, present, 1.0 - self.decay_at(self._updates))

    def _weights(self) -> list[tuple[str, nn.Parameter]]:
        return [(name, value) for name, value in self._model.named_parameters() if value.requires_grad]

    def _shares(self) -> nn.ParameterList:
        """This process's shares of the present weights, in the weights' own memory; torch copies no sharded model."""
        return nn.ParameterList([share(value) for _, value in self._weights()])

    @torch.no_grad()
    def _swap(self) -> None:
        for value, average in zip(self._shares(), self._average.module, strict=True):
            present = value.detach().clone()
            value.copy_(average)
            average.copy_(present)
