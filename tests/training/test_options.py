from __future__ import annotations

import pytest

from interbert.errors import ConfigError
from interbert.training.options import (
    FinetuneRetrievalOptions,
    MaskingOptions,
    ModelOptions,
    NegativeOptions,
    PretrainOptions,
    TrainingOptions,
)
from interbert.training.run_setup import curriculum


@pytest.mark.parametrize(
    "wrong",
    [{"batch_size": 0}, {"epochs": 0}, {"learning_rate": -1.0}, {"ema_decay": 1.0}, {"log_steps": 0}],
)
def test_impossible_values_are_named(wrong: dict) -> None:
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        TrainingOptions(**wrong)


def test_hard_negatives_come_after_random_ones() -> None:
    share = curriculum(NegativeOptions(hard_share=0.6, random_epochs=1.0, rise_epochs=2.0), pairs=100, step_size=10)
    assert [share(step) for step in range(10)] == [0.0] * 10
    rising = [share(step) for step in range(10, 30)]
    assert rising == sorted(rising)
    assert 0 < rising[0] < rising[-1] <= 0.6
    assert share(1000) == 0.6


@pytest.mark.parametrize(
    ("make", "values", "message"),
    [
        (TrainingOptions, {"seed": -1}, "training.seed"),
        (TrainingOptions, {"workers": -1}, "training.workers"),
        (TrainingOptions, {"warmup": 5}, "training.warmup must be at least 0 and below 1, not 5"),
        (TrainingOptions, {"max_steps": 0}, "training.max_steps"),
        (TrainingOptions, {"weight_decay": -1}, "training.weight_decay"),
        (TrainingOptions, {"shard": True, "reference_quirks": True}, "training.shard does not go"),
        (TrainingOptions, {"max_grad_norm": -1}, "training.max_grad_norm"),
        (TrainingOptions, {"learning_rate": float("nan")}, "training.learning_rate"),
        (ModelOptions, {"contrastive_size": 0}, "model.contrastive_size"),
        (ModelOptions, {"dropout": 2}, "model.dropout"),
        (ModelOptions, {"config_overrides": {"layers": 3}}, "model.config_overrides has no 'layers'. It takes: num_"),
        (NegativeOptions, {"hard_share": 9}, "negatives.hard_share"),
        (NegativeOptions, {"random_epochs": -4}, "negatives.random_epochs"),
        (MaskingOptions, {"text_max_share": 7}, "masking.text_max_share"),
        (MaskingOptions, {"token_share": 0}, "masking.token_share"),
        (PretrainOptions, {"mismatched_share": 1.5}, "mismatched_share"),
        (PretrainOptions, {"validation_share": 5}, "validation_share must be above 0 and below 1, not 5"),
        (PretrainOptions, {"validation_limit": 0}, "validation_limit"),
        (FinetuneRetrievalOptions, {"contrastive_loss_weight": -1}, "contrastive_loss_weight"),
        (FinetuneRetrievalOptions, {"dropout": 3}, "dropout"),
    ],
)
def test_impossible_values_are_refused_by_name(make, values, message):
    needed = {PretrainOptions: ("r", "o"), FinetuneRetrievalOptions: ("m", "r", "o")}.get(make, ())
    with pytest.raises(ConfigError, match=message):
        make(*needed, **values)
