"""How long a run is: its steps, passes and validations, known before the first step."""

from __future__ import annotations

import math
from dataclasses import dataclass

from interbert.training.options import TrainingOptions


@dataclass(frozen=True)
class Plan:
    """What the options come to on so many batches.

    Attributes:
        steps: optimizer steps.
        epochs: passes over the data, whole or not; ``steps`` may end the last one before.
        stretch: how many times longer than the options' epochs, so that ``min_steps`` are made; 1 where these suffice.
        every: steps between two validations.
    """

    steps: int
    epochs: float
    stretch: float
    every: int


def plan_of(options: TrainingOptions, batches: int) -> Plan:
    """The plan of a run.

    Args:
        options: how long and how often.
        batches: of one process in one pass.
    """
    in_a_pass = batches / options.gradient_accumulation
    updates = in_a_pass * options.epochs
    steps, stretch = math.ceil(updates), 1.0
    every = batches // options.gradient_accumulation // options.validations_per_epoch
    if 0 < updates < options.min_steps:
        steps, stretch = options.min_steps, options.min_steps / updates
        every = int(stretch * in_a_pass / options.validations_per_epoch)
    if options.max_steps > 0:
        steps = min(steps, options.max_steps)
    return Plan(steps, options.epochs * stretch, stretch, max(1, every))
