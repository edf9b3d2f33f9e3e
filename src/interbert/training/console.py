"""What a training run says: a bar with rate and remaining time, and one line for each log and each validation."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from typing import Any

import torch
from torch import Tensor
from transformers import TrainerCallback

from interbert.progress import progress_bar

_logger = logging.getLogger(__name__)

_NAMES = {
    "lm_loss": "words",
    "region_loss": "regions",
    "matching_loss": "matching",
    "contrastive_loss": "contrast",
}
_OTHERS = {"loss", "grad_norm", "learning_rate", "epoch", "step", "seconds", "pairs_per_second"}
"""Of a log entry, what is no objective's loss."""


class TrainingConsole(TrainerCallback):  # type: ignore[misc]
    """Prints progress.

    Args:
        pairs_per_step: true pairs of one optimizer step, for the rate.
        title: of a stage.
    """

    def __init__(self, pairs_per_step: int, title: str | None = None) -> None:
        self._pairs = pairs_per_step
        self._title = title
        self._stack = ExitStack()
        self._advance: Any = None
        self._shown = 0

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Open the bar."""
        if state.is_world_process_zero:
            left = (state.max_steps - state.global_step) * self._pairs
            self._advance = self._stack.enter_context(progress_bar(self._title or "training", left, "pairs"))
            self._shown = state.global_step

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Advance it."""
        if self._advance is not None:
            self._advance((state.global_step - self._shown) * self._pairs)
            self._shown = state.global_step

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, float] | None = None, **_: Any) -> None:
        """Print a line."""
        if state.is_world_process_zero and logs:
            line = log_line(logs)
            if line:
                title = "" if self._title is None else f"{self._title}, "
                _logger.info(f"{title}step {state.global_step}/{state.max_steps}  {line}")

    def on_train_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Close the bar."""
        self._stack.close()
        self._advance = None


def log_line(logs: dict[str, float]) -> str:
    """A log entry in words: each objective's loss with its chance value, or validation recall."""
    among = logs.get("eval_candidates")
    recalls = [
        f"{name.removeprefix('eval_')} {value:.1f}"
        for name, value in logs.items()
        if name.startswith("eval_") and name != "eval_candidates"
    ]
    if recalls:
        return f"validation: {', '.join(recalls)}{'' if among is None else f' among {among:.0f} images'}"
    if "loss" not in logs:
        return ""
    names = [name for name in (*_NAMES, *sorted(logs.keys() - _NAMES.keys() - _OTHERS)) if name in logs]
    losses = [
        f"{_NAMES.get(name, name)} {logs[name]:.2f}"
        + (f" (chance {logs[f'{name}_chance']:.2f})" if f"{name}_chance" in logs else "")
        for name in names
        if not name.endswith("_chance")
    ]
    return ", ".join(losses) or f"loss {logs['loss']:.3f}"


class ObjectiveLog:
    """Mean loss of every objective since the last log line, summed on the device: reading a number makes a GPU wait."""

    def __init__(self) -> None:
        self._sums: dict[str, Tensor] = {}

    def add(self, losses: Mapping[str, Tensor], counts: Mapping[str, Tensor]) -> None:
        """Take in one batch's losses but their sum; one that had nothing to predict does not count.

        Args:
            losses: of the task.
            counts: by how many of a step's places losses were divided; any other that is exactly 0 had none.
        """
        for name, loss in losses.items():
            if name != "loss":
                value = loss.detach().float()
                pair = torch.stack([value, (counts.get(name, value) != 0).float()])
                self._sums[name] = self._sums[name] + pair if name in self._sums else pair

    def take(self, over_processes: Callable[[Tensor], Tensor]) -> dict[str, float]:
        """Means since the last call, and start anew.

        Args:
            over_processes: sums a tensor over all processes; called once for each objective, in one order.
        """
        totals = {name: over_processes(pair).tolist() for name, pair in sorted(self._sums.items())}
        self._sums = {}
        return {name: total / count for name, (total, count) in totals.items() if count}
