"""A step that is done is not done again; a change runs it and everything after it."""

from __future__ import annotations

from pathlib import Path

import pytest

from interbert.demo.steps import Step, StepRunner


def make(tmp_path: Path, ran: list[str], settings: dict[str, int], fail_at: str = "") -> StepRunner:
    def step(name: str) -> Step:
        def action() -> None:
            if name == fail_at:
                raise KeyboardInterrupt
            ran.append(name)
            (tmp_path / name).write_text("made")

        return Step(name, name, 1.0, {"setting": settings.get(name, 0)}, (tmp_path / name,), action)

    return StepRunner(tmp_path / "state", [step(name) for name in ("first", "second", "third")])


def test_second_run_does_nothing_and_keeps_the_times(tmp_path: Path) -> None:
    ran: list[str] = []
    make(tmp_path, ran, {}).run()
    assert ran == ["first", "second", "third"]
    states = make(tmp_path, ran, {}).run()
    assert ran == ["first", "second", "third"]
    assert all(state.done for state in states)


def test_changed_setting_runs_that_step_and_the_later_ones(tmp_path: Path) -> None:
    ran: list[str] = []
    make(tmp_path, ran, {}).run()
    ran.clear()
    assert [state.done for state in make(tmp_path, ran, {"second": 1}).plan()] == [True, False, False]
    make(tmp_path, ran, {"second": 1}).run()
    assert ran == ["second", "third"]


def test_missing_output_is_made_again(tmp_path: Path) -> None:
    ran: list[str] = []
    make(tmp_path, ran, {}).run()
    ran.clear()
    (tmp_path / "third").unlink()
    make(tmp_path, ran, {}).run()
    assert ran == ["third"]


def test_interrupted_step_is_not_done_and_the_next_run_continues_there(tmp_path: Path) -> None:
    ran: list[str] = []
    with pytest.raises(KeyboardInterrupt):
        make(tmp_path, ran, {}, fail_at="second").run()
    make(tmp_path, ran, {}).run()
    assert ran == ["first", "second", "third"]


def test_step_interrupted_on_a_rerun_loses_its_old_marker(tmp_path: Path) -> None:
    ran: list[str] = []
    make(tmp_path, ran, {}).run()
    with pytest.raises(KeyboardInterrupt):
        make(tmp_path, ran, {"second": 1}, fail_at="second").run()
    assert [state.done for state in make(tmp_path, ran, {}).plan()] == [True, False, False]


def test_damaged_marker_counts_as_not_done(tmp_path: Path) -> None:
    ran: list[str] = []
    make(tmp_path, ran, {}).run()
    (tmp_path / "state" / "first.json").write_text("{")
    assert not any(state.done for state in make(tmp_path, ran, {}).plan())
