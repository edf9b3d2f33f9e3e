"""What a training run says: a bar with rate and remaining time, and one line for each log and each validation."""

from __future__ import annotations

import logging
from contextlib import ExitStack
from typing import Any

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
