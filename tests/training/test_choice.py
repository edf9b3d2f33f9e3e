"""Which validated model is kept, on figures typed by hand."""

from __future__ import annotations

import json

import numpy as np
import pytest

from interbert.tasks.judged import Judged
from interbert.training.choice import Choice, Validated


def hits(right: int, of: int = 40) -> Judged:
    """The first ``right`` of so many items are right."""
    return Judged.of(np.arange(of) < right)


def found(step: int, right: int, of: int = 40) -> Validated:
    return Validated(step, 100.0 * right / of, hits(right, of))


def test_an_interval_is_of_units_and_of_differences_on_the_same_ones() -> None:
    texts = np.array([1, 1, 0, 0, 0, 1])
    judged = Judged.of(texts, np.array([7, 7, 7, 9, 9, 9]))
    assert judged.sums.tolist() == [200.0, 100.0]
    assert judged.estimate().value == pytest.approx(50.0)
    whole = hits(20).estimate()
    assert 30 < whole.low < 45 < 55 < whole.high < 70
    same = hits(20).estimate(hits(20))
    assert (same.low, same.value, same.high) == (0.0, 0.0, 0.0)
    more = hits(30).estimate(hits(20))
    assert more.value == 25.0
    assert more.low > 10


def test_a_luckier_step_does_not_replace_the_end_of_a_run() -> None:
    choice = Choice(greater_is_better=True)
    assert [choice.takes(one) for one in (found(0, 20), found(11, 23), found(77, 22), found(154, 21))] == [True] * 4
    assert choice.kept is not None
    assert choice.kept.step == 154
    line = choice.summary("r@1", 154, "40 validation images")
    assert line.startswith("kept: step 154 of 154, r@1 52.5 [")
    assert "step 11 had 57.5, a difference that may be chance" in line
    assert "no gain beyond chance" in str(choice.gain("r@1"))


def test_a_step_that_is_better_by_more_than_chance_stays() -> None:
    choice = Choice(greater_is_better=True)
    assert choice.takes(found(0, 10))
    assert choice.takes(found(10, 30))
    assert not choice.takes(found(20, 20))
    assert choice.kept is not None
    assert choice.kept.step == 10
    assert "no gain" not in str(choice.gain("r@1"))


def test_slow_decline_is_measured_against_the_best_step_and_not_the_one_before() -> None:
    choice = Choice(greater_is_better=True)
    taken = [choice.takes(found(step, 200 - step, 200)) for step in range(1, 13)]
    assert taken[0]
    assert not taken[-1]


def test_without_values_of_units_the_best_value_is_kept_and_of_equals_the_latest() -> None:
    choice = Choice(greater_is_better=False)
    assert [choice.takes(Validated(step, value)) for step, value in ((1, 3.0), (2, 2.0), (3, 2.5), (4, 2.0))] == [
        True,
        True,
        False,
        True,
    ]
    assert choice.gain("loss") is None


def test_a_start_that_does_not_count_is_only_compared_with() -> None:
    choice = Choice(greater_is_better=True, start_counts=False)
    assert not choice.takes(found(0, 39))
    assert choice.takes(found(5, 20))


def test_a_checkpoint_keeps_the_choice_and_that_of_an_earlier_version_is_read() -> None:
    choice = Choice(greater_is_better=True)
    for one in (found(0, 10), found(10, 30), found(20, 20)):
        choice.takes(one)
    again = Choice(greater_is_better=True)
    again.load(json.loads(json.dumps(choice.to_dict())))
    assert again.summary("r@1", 20, "x") == choice.summary("r@1", 20, "x")
    assert not again.takes(found(30, 20))
    old = Choice(greater_is_better=True)
    old.load({"best": 50.0}, step=7)
    assert not old.takes(Validated(8, 49.0))
    assert old.takes(Validated(9, 51.0))
    fresh = Choice(greater_is_better=True)
    fresh.load({"best": None})
    assert fresh.kept is None
