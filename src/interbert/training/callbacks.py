"""What a run reports while it trains, and how it ends early: throughput, lines of the console, signals."""

from __future__ import annotations

import logging
import signal
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from types import FrameType
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor
from transformers import TrainerCallback

from interbert.errors import Terminated
from interbert.training.model_card import with_bounds
from interbert.utils.terminal import in_words, progress_bar


class Throughput:
    """Wall-clock time of a run, and its rate without validating and saving.

    Args:
        pairs_per_step: true pairs of one optimizer step, over all processes.
        clock: seconds from any start.
    """

    def __init__(self, pairs_per_step: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._pairs = pairs_per_step
        self._clock = clock
        self.start(0)

    def start(self, step: int, before: float = 0.0) -> None:
        """Begin to measure.

        Args:
            step: steps done before.
            before: seconds that they took; the time in which a run stood still does not count.
        """
        self._step = step
        self._began = self._clock() - before
        self._marked = self._clock()
        self._aside = 0.0

    @property
    def seconds(self) -> float:
        """Since the run began, everything included."""
        return self._clock() - self._began

    @contextmanager
    def aside(self) -> Iterator[None]:
        """A block whose time is no training."""
        entered = self._clock()
        try:
            yield
        finally:
            self._aside += self._clock() - entered

    def pairs_per_second(self, step: int) -> float | None:
        """Rate since this was asked last; None when no step was done since."""
        now = self._clock()
        taken, steps = now - self._marked - self._aside, step - self._step
        self._step, self._marked, self._aside = step, now, 0.0
        return steps * self._pairs / taken if steps > 0 and taken > 0 else None


_logger = logging.getLogger(__name__)

_NAMES = {
    "lm_loss": "words",
    "region_loss": "regions",
    "matching_loss": "matching",
    "contrastive_loss": "contrast",
}
_OTHERS = {"loss", "grad_norm", "learning_rate", "epoch", "step", "seconds", "pairs_per_second"}
"""Of a log entry, what is no objective's loss."""


_FIRST_STEPS = 4
"""The first one aside, so many are measured before the time that is left is told for the first time."""
_SOON = 60
"""Seconds: less is not told."""


class TrainingConsole(TrainerCallback):  # type: ignore[misc]
    """Prints how long the run is, progress, and the time that is left by the steps so far.

    Args:
        pairs_per_step: true pairs of one optimizer step, for the rate.
        title: of a stage.
        least_steps: fewer are warned of.
        clock: seconds from any start.
    """

    def __init__(
        self,
        pairs_per_step: int,
        title: str | None = None,
        least_steps: int = 0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._pairs = pairs_per_step
        self._title = title
        self._least_steps = least_steps
        self._clock = clock
        self._stack = ExitStack()
        self._advance: Any = None
        self._shown = 0
        self._began: tuple[int, float] | None = None
        """Steps done and the time, after the first step: that one takes longer than any other."""

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Open the bar."""
        if state.is_world_process_zero:
            self._announce(state)
            left = (state.max_steps - state.global_step) * self._pairs
            self._advance = self._stack.enter_context(progress_bar(self._title or "training", left, "pairs"))
            self._shown = state.global_step

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Advance it."""
        if self._advance is not None:
            self._advance((state.global_step - self._shown) * self._pairs)
            self._shown = state.global_step
        if self._began is None:
            self._began = state.global_step, self._clock()
        elif state.global_step == self._began[0] + _FIRST_STEPS and state.is_world_process_zero:
            left = self._left(state)
            if left >= _SOON:
                _logger.info(f"{self._prefix}about {in_words(left)} to go, by the first steps")

    def _announce(self, state: Any) -> None:
        done, steps = state.global_step, state.max_steps
        so_far = f", {done:,} of them done" if done else ""
        _logger.info(f"{self._prefix}steps: {steps:,} of {self._pairs:,} samples{so_far}")
        if steps < self._least_steps:
            _logger.warning(
                f"few steps: {steps:,}, and with less than about {self._least_steps} the losses stay near chance. "
                f"--training.min-steps {2 * self._least_steps} repeats the passes for so many"
            )

    @property
    def _prefix(self) -> str:
        return "" if self._title is None else f"{self._title}: "

    def _left(self, state: Any) -> float:
        """Seconds that the other steps take at the pace so far, validations and all; 0 before there is one."""
        if self._began is None or state.global_step <= self._began[0]:
            return 0.0
        step, began = self._began
        return (self._clock() - began) / float(state.global_step - step) * float(state.max_steps - state.global_step)

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, float] | None = None, **_: Any) -> None:
        """Print a line."""
        if state.is_world_process_zero and logs:
            line = log_line(logs)
            if line:
                title = "" if self._title is None else f"{self._title}, "
                left = self._left(state) if "loss" in logs else 0.0
                to_go = f", {in_words(left)} left" if left >= _SOON else ""
                _logger.info(f"{title}step {state.global_step}/{state.max_steps}  {line}{to_go}")

    def on_train_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Close the bar."""
        self._stack.close()
        self._advance = None


def log_line(logs: dict[str, float]) -> str:
    """A log entry in words: each objective's loss with its chance value, or validation recall."""
    among = logs.get("eval_candidates")
    metrics = {name: value for name, value in logs.items() if name.startswith("eval_") and name != "eval_candidates"}
    if metrics:
        told = ", ".join(f"{name.removeprefix('eval_')} {text}" for name, text in with_bounds(metrics).items())
        return f"validation: {told}{'' if among is None else f' among {among:.0f} images'}"
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


class StopAtSignal(TrainerCallback):  # type: ignore[misc]
    """Turns a signal into save-and-stop after the step.

    A signal may reach one process of a run only, or each in another step: after every step they ask each other, over
    the CPU, so that all save the same step and no GPU waits.
    """

    def __init__(self) -> None:
        self._signal = 0
        self._signals = 0
        self._group: Any = None

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Take over SIGINT and SIGTERM for the length of a block; does nothing outside the main thread."""
        before = {}
        try:
            for number in (signal.SIGINT, signal.SIGTERM):
                before[number] = signal.signal(number, self._handle)
        except ValueError:  # not the main thread: the caller handles interrupts
            pass
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if self._signal:
            raise _stopped_by(number)
        self._signal = number
        again = "press Ctrl-C again" if number == signal.SIGINT else "send it again"
        _logger.info("")  # the bar's line ends here
        _logger.info(f"stopping after this step and saving; {again} to stop at once")

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> Any:
        """Open the way the processes ask each other."""
        if args.world_size > 1:
            self._group = dist.new_group(backend="gloo")
        return control

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> Any:
        """Save and stop when any process was told to."""
        if self._ask():
            control.should_save = True
            control.should_training_stop = True
        return control

    def on_train_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Tell the caller why training ended early.

        Raises:
            KeyboardInterrupt: Ctrl-C; ``Terminated`` after SIGTERM.
        """
        if self._ask():  # also one that came while the last checkpoint was written: what follows must not begin
            raise _stopped_by(self._signals)

    def _ask(self) -> int:
        """The signal that any process was told of; 0 for none."""
        self._signals = max(self._signals, self._signal)
        if self._group is not None:
            told = torch.tensor(self._signals)
            dist.all_reduce(told, op=dist.ReduceOp.MAX, group=self._group)
            self._signals = int(told)
        return self._signals


def _stopped_by(number: int) -> KeyboardInterrupt:
    return Terminated() if number == signal.SIGTERM else KeyboardInterrupt()
