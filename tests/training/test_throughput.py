from __future__ import annotations

import math

import pytest

from interbert.training.baselines import label_entropy
from interbert.training.callbacks import Throughput


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def test_the_rate_is_that_of_training_alone_and_seconds_are_all_there_were() -> None:
    clock = Clock()
    pace = Throughput(64, clock)
    clock.now += 8
    assert pace.pairs_per_second(2) == 16.0
    assert pace.pairs_per_second(2) is None  # a second line of the same step
    clock.now += 4
    with pace.aside():
        clock.now += 1000
    assert pace.pairs_per_second(3) == 16.0
    assert pace.seconds == 1012.0
    clock.now += 4
    assert pace.pairs_per_second(4) == 16.0  # the validation before is forgotten


def test_a_run_that_goes_on_counts_from_where_it_stopped() -> None:
    clock = Clock()
    pace = Throughput(10, clock)
    clock.now += 500
    pace.start(step=40, before=60.0)
    clock.now += 5
    assert pace.seconds == 65.0
    assert pace.pairs_per_second(45) == 10.0


def test_a_classifier_that_knows_nothing_has_the_entropy_of_the_labels() -> None:
    assert label_entropy("aabb") == pytest.approx(math.log(2))
    assert label_entropy("aaab") == pytest.approx(0.75 * math.log(4 / 3) + 0.25 * math.log(4))
