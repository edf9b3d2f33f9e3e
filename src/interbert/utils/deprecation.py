"""Arguments by the names that earlier versions had, and options that they had."""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")

FIXED_OPTIONS: dict[str, Any] = {
    "warm_start.max_pairs": 100_000,
    "warm_start.head_learning_rate": 2e-3,
    "model.region_loss_weight": 1,
    "model.matching_loss_weight": 1,
    "model.contrastive_loss_weight": 1,
    "model.num_interaction_layers": None,
    "model.num_text_layers": None,
    "model.num_image_layers": None,
    "model.image_intermediate_size": None,
    "model.image_num_attention_heads": None,
    "model.fusion": "mul",
    "model.region_objective": "classify",
    "model.contrastive_lexical": True,
    "model.lm_loss_on_mismatched": True,
    "masking.anchor_probability": 0.1,
    "negatives.mine": "neighbours",
    "negatives.pool": 32,
    "training.attention": "auto",
    "rerank": 16,
    "score_fusion": True,
    "hub_correction": 0.5,
}
"""Options of training that are gone from a verb or from all, and the value that holds now. ``negatives.mine`` is gone
from pretraining alone, and ``config_overrides`` has those of the model's configuration."""


LATER_OPTIONS: dict[str, Any] = {
    "masking.token_share": 0.15,
    "mismatched_share": 0.5,
    "training.min_steps": 0,
    "model.initializer_range": 0.02,
}
"""Options of training that earlier versions did not have, and the value that held then."""


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
