"""Signals between the last step and the end of a training."""

from __future__ import annotations

import os
import signal
from types import SimpleNamespace

import pytest

from interbert.errors import Terminated
from interbert.training.callbacks import StopAtSignal


def test_a_signal_after_the_last_step_still_ends_the_run() -> None:
    """What follows a stage, such as hours of pretraining, must not begin."""
    stop, control = StopAtSignal(), SimpleNamespace(should_save=False, should_training_stop=False)
    with stop.listening():
        stop.on_step_end(None, None, control)
        assert not control.should_training_stop
        os.kill(os.getpid(), signal.SIGTERM)
        with pytest.raises(Terminated):
            stop.on_train_end(None, None, control)
