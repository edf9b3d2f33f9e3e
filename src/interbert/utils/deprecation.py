"""Arguments by the names that earlier versions had, and options that they had."""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")

FIXED_OPTIONS: dict[str, float] = {
    "warm_start.max_pairs": 100_000,
    "model.region_loss_weight": 1,
    "model.matching_loss_weight": 1,
    "model.contrastive_loss_weight": 1,
}
"""Options of training that are gone, and the value that holds now."""


def renamed_arguments(**names: str) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Let a function take its arguments by old names, ``old="new"``, with a DeprecationWarning: for one release."""

    def decorate(function: Callable[P, R]) -> Callable[P, R]:
        @functools.wraps(function)
        def call(*args: P.args, **kwargs: P.kwargs) -> R:
            for old in names.keys() & kwargs.keys():
                warnings.warn(f"{function.__name__}: {old} is {names[old]} now.", DeprecationWarning, stacklevel=2)
                kwargs[names[old]] = kwargs.pop(old)
            return function(*args, **kwargs)

        return call

    return decorate
