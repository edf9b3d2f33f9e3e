from __future__ import annotations

import pytest

from interbert.errors import ConfigError
from interbert.training.options import NegativeOptions, TrainingOptions
from interbert.training.session import curriculum


@pytest.mark.parametrize(
    "wrong",
    [{"batch_size": 0}, {"epochs": 0}, {"learning_rate": -1.0}, {"ema_decay": 1.0}, {"log_steps": 0}],
)
def test_impossible_values_are_named(wrong: dict) -> None:
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        TrainingOptions(**wrong)


def test_hard_negatives_come_after_random_ones() -> None:
    share = curriculum(NegativeOptions(hard_share=0.6, random_epochs=1.0, rise_epochs=2.0), steps_per_epoch=10)
    assert [share(step) for step in range(10)] == [0.0] * 10
    rising = [share(step) for step in range(10, 30)]
    assert rising == sorted(rising)
    assert 0 < rising[0] < rising[-1] <= 0.6
    assert share(1000) == 0.6
