"""Requests that were made up, of schemathesis and damaged ones (benchmarks/service_fuzz.py): nothing breaks."""

from __future__ import annotations

import importlib
import json
from collections.abc import Sequence
from pathlib import Path

import pytest
from tests.forked import COMMAND, Fork

LOGGED = "import os, sys; os.dup2(os.open(sys.argv.pop(), os.O_WRONLY | os.O_CREAT), 2); " + COMMAND


def start(words: Sequence[str], log: Path) -> Fork:
    return Fork(LOGGED, *words, log)


def test_300_requests_break_nothing(
    built: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.syspath_prepend(str(Path(__file__).parents[2] / "benchmarks"))
    fuzz = importlib.import_module("service_fuzz")
    words = [str(built), "--out", str(tmp_path / "fuzz"), "--requests", "300", "--examples", "1"]
    code = fuzz.main([*words, "--phases", "fuzzing,stateful"], start)
    output = capsys.readouterr().out
    seen = json.loads(output.splitlines()[-1])
    assert code == 0, output
    assert seen["requests"] >= 300
    assert seen["schemathesis"] >= 31  # every operation once at least
    for wrong in ("errors_5xx", "tracebacks", "schema_failures", "problems"):
        assert seen[wrong] == 0, output
