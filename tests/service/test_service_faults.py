"""The service is killed while it writes: nothing that was acknowledged is lost (benchmarks/service_faults.py)."""

from __future__ import annotations

import importlib
import json
from collections.abc import Sequence
from pathlib import Path

import pytest
from tests.forked import COMMAND, Fork


def start(words: Sequence[str]) -> Fork:
    return Fork(COMMAND, *words)


def test_two_kills_lose_nothing(
    built: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.syspath_prepend(str(Path(__file__).parents[2] / "benchmarks"))
    faults = importlib.import_module("service_faults")
    words = [str(built), "--out", str(tmp_path / "faults"), "--kills", "2", "--swaps", "0", "--seed", "1"]
    code = faults.main(words, start)
    output = capsys.readouterr().out
    seen = json.loads(output.splitlines()[-1])
    assert code == 0, output
    assert seen["kills"] == 2
    assert seen["acknowledged"] > 0
    assert seen["lost"] == seen["duplicated"] == 0
