"""How long a run is, and what it says of it before its first step."""

from __future__ import annotations

import logging
from pathlib import Path
from types import SimpleNamespace

import pytest

from interbert.errors import UsageError
from interbert.training.arguments import trainer_arguments
from interbert.training.callbacks import TrainingConsole
from interbert.training.options import NegativeOptions, TrainingOptions
from interbert.training.plan import Plan, plan_of
from interbert.training.run_setup import claim_folder, curriculum, held_out_share


def test_a_run_of_few_pairs_is_stretched_to_its_least_steps() -> None:
    assert plan_of(TrainingOptions(epochs=1), 6) == Plan(6, 1.0, 1.0, 6)
    short = plan_of(TrainingOptions(epochs=1, min_steps=200, validations_per_epoch=4), 6)
    assert (short.steps, short.every) == (200, 50)
    assert short.stretch == short.epochs == pytest.approx(200 / 6)
    assert plan_of(TrainingOptions(epochs=2, min_steps=200), 100) == Plan(200, 2.0, 1.0, 100)
    assert plan_of(TrainingOptions(epochs=1, min_steps=200, max_steps=3), 6).steps == 3


def test_the_trainer_and_the_curriculum_are_stretched_alike(tmp_path: Path) -> None:
    options = TrainingOptions(epochs=1, min_steps=200)
    arguments = trainer_arguments(options, tmp_path, 5)
    assert (arguments.max_steps, arguments.eval_steps) == (200, 200)
    stretch = plan_of(options, 5).stretch
    share = curriculum(NegativeOptions(random_epochs=0.5, rise_epochs=0.25), 500, 100, stretch)
    assert (share.start, share.full) == (100, 150)


@pytest.mark.parametrize(("units", "share"), [(100, 0.2), (2000, 0.1), (4000, 0.05), (10**6, 0.05)])
def test_of_few_images_more_are_held_out(units: int, share: float) -> None:
    assert held_out_share(None, units) == pytest.approx(share)
    assert held_out_share(0.03, units) == 0.03


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_steps_are_told_before_and_the_time_left_is_that_of_the_steps_so_far(
    caplog: pytest.LogCaptureFixture,
) -> None:
    clock = Clock()
    console = TrainingConsole(32, least_steps=300, clock=clock)
    state = SimpleNamespace(max_steps=200, global_step=0, is_world_process_zero=True)
    with caplog.at_level(logging.INFO, logger="interbert"):
        console.on_train_begin(None, state, None)
        for step in range(1, 11):
            clock.now += 30.0 if step == 1 else 2.0
            state.global_step = step
            console.on_step_end(None, state, None)
        console.on_log(None, state, None, {"loss": 1.0})
        console.on_train_end(None, state, None)
    assert caplog.messages == [
        "steps: 200 of 32 samples",
        "few steps: 200, and with less than about 300 the losses stay near chance. --training.min-steps 600 repeats "
        "the passes for so many",
        "about 6 min to go, by the first steps",
        "step 10/200  loss 1.000, 6 min left",
    ]


def test_a_run_begun_before_the_share_was_chosen_goes_on_where_no_share_is_held_out(tmp_path: Path) -> None:
    def recipe(share: float | None, validation: str | None) -> dict[str, object]:
        return {"validation": validation, "validation_share": share, "training": {"min_steps": 0}}

    assert not claim_folder(tmp_path / "with", recipe(0.05, "held"))
    assert not claim_folder(tmp_path / "without", recipe(0.05, None))
    for name in ("with", "without"):
        (tmp_path / name / "checkpoints").mkdir()
    assert not claim_folder(tmp_path / "with", recipe(None, "held"))
    with pytest.raises(UsageError, match=r"validation_share was 0\.05, now None"):
        claim_folder(tmp_path / "without", recipe(None, None))
