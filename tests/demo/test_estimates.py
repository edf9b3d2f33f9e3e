"""Times that the demo announces follow what was measured."""

from __future__ import annotations

import pytest

from interbert.demo.pipeline import Demo, DemoSettings
from interbert.demo.steps import Pace
from interbert.utils import terminal


def test_the_pace_of_done_steps_corrects_the_next() -> None:
    pace = Pace()
    assert pace.factor is None
    pace.add(2.0, 3.0)
    assert pace.factor is None  # too short to say anything
    pace.add(30.0, 61.0)
    assert pace.factor == 2.0


def test_training_takes_its_effort(tmp_path: object) -> None:
    demo = Demo(DemoSettings(folder=tmp_path, effort=0.5, limit=158))  # type: ignore[arg-type]
    expected = {
        step.name: demo.expected_seconds(step) for step in demo.steps() if step.name not in ("regions", "ranking")
    }
    assert expected == {"images": 3.0, "pretraining": 240.0, "finetuning": 45.0, "page": 2.0}


def test_a_log_is_told_how_long_the_rest_takes(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    now = [0.0]
    monkeypatch.setattr("interbert.utils.terminal.time.monotonic", lambda: now[0])
    with terminal.progress_bar("extracting", 100, "images", shown=True) as advance:
        for _ in range(10):
            now[0] += 6.0
            advance(10)
    lines = [line for line in capsys.readouterr().err.splitlines() if " left" in line and " of " in line]
    assert lines == [
        "extracting: 20 of 100 images, about 48 s left",
        "extracting: 40 of 100 images, about 36 s left",
        "extracting: 80 of 100 images, about 12 s left",
    ]


def test_times_in_words() -> None:
    assert [terminal.in_words(one) for one in (0.2, 89, 200, 9000)] == ["1 s", "89 s", "3 min", "2.5 h"]
