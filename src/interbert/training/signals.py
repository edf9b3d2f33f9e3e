"""Stopping between two steps: Ctrl-C and SIGTERM finish the step, save and leave; all processes of a run together."""

from __future__ import annotations

import logging
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

import torch
import torch.distributed as dist
from transformers import TrainerCallback

from interbert.errors import Terminated

_logger = logging.getLogger(__name__)


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
        self._signals = self._signal
        if self._group is not None:
            told = torch.tensor(self._signal)
            dist.all_reduce(told, op=dist.ReduceOp.MAX, group=self._group)
            self._signals = int(told)
        if self._signals:
            control.should_save = True
            control.should_training_stop = True
        return control

    def on_train_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Tell the caller why training ended early.

        Raises:
            KeyboardInterrupt: Ctrl-C; ``Terminated`` after SIGTERM.
        """
        if self._signals:
            raise _stopped_by(self._signals)


def _stopped_by(number: int) -> KeyboardInterrupt:
    return Terminated() if number == signal.SIGTERM else KeyboardInterrupt()
