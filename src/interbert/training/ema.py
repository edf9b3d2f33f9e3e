"""Exponential moving average of weights (SPEC part 4: decay 0.9999, the average is what is evaluated)."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from interbert.training.sharding import own_share, share, whole

EMA_FILE = "ema.safetensors"


class WeightAverage:
    """The average of a model's trainable weights; of a sharded model each process averages its share.

    A short run needs a warm-up: after n updates the decay is min(decay, (1 + n)/(10 + n)).

    Args:
        model: whose weights to average.
        decay: largest decay.
    """

    def __init__(self, model: nn.Module, decay: float) -> None:
        self._model = model
        self._decay = decay
        self._updates = 0
        self._average = {name: value.detach().clone() for name, value in self._weights()}

    def decay_at(self, updates: int) -> float:
        """Decay of the update after ``updates`` ones."""
        return min(self._decay, (1 + updates) / (10 + updates))

    @torch.no_grad()
    def update(self) -> None:
        """Take in the model's present weights."""
        keep = self.decay_at(self._updates)
        self._updates += 1
        averages = [share(self._average[name]) for name, _ in self._weights()]
        torch._foreach_lerp_(averages, [share(value) for _, value in self._weights()], 1.0 - keep)

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
        state: dict[str, Tensor] = {name: whole(value).contiguous() for name, value in self._average.items()}
        if write:
            save_file(state | {"_updates": torch.tensor(self._updates)}, folder / EMA_FILE)

    def load(self, folder: Path) -> None:
        """Read what :meth:`save` wrote."""
        state = load_file(folder / EMA_FILE)
        self._updates = int(state.pop("_updates"))
        for name, value in self._average.items():
            share(value).copy_(own_share(state[name], value))

    def _weights(self) -> list[tuple[str, nn.Parameter]]:
        return [(name, value) for name, value in self._model.named_parameters() if value.requires_grad]

    @torch.no_grad()
    def _swap(self) -> None:
        for name, value in self._weights():
            present = value.detach().clone()
            value.copy_(self._average[name])
            self._average[name].copy_(present)
