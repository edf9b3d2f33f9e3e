"""The library logs, the command line prints it."""

from __future__ import annotations

import ast
import logging
from pathlib import Path

import pytest

import interbert
from interbert.cli.main import log_lines_on_stdout
from interbert.utils.terminal import progress_bar

LOGGER = logging.getLogger("interbert.training.trainer")


def test_the_library_prints_nothing(capfd: pytest.CaptureFixture[str]) -> None:
    LOGGER.info("step 1/2")
    with progress_bar("training", 1, "pairs") as advance:
        advance(1)
    assert capfd.readouterr() == ("", "")


def test_the_command_line_prints_what_is_logged(capfd: pytest.CaptureFixture[str]) -> None:
    with log_lines_on_stdout():
        LOGGER.info("s3://user:secret@host/x: 100% done\x1b[2J\nforged")
        LOGGER.debug("not this")
        with progress_bar("training", 1, "pairs") as advance:
            advance(1)
    out, err = capfd.readouterr()
    assert out.endswith(": 100% done\\x1b[2J forged\n")
    assert "secret" not in out
    assert out.count("\n") == 1
    assert "training" in err


def test_a_program_that_sets_up_logging_gets_the_lines(caplog: pytest.LogCaptureFixture) -> None:
    with log_lines_on_stdout():
        pass
    with caplog.at_level(logging.INFO, logger="interbert"):
        LOGGER.info("step 2/2")
    assert caplog.messages == ["step 2/2"]


def test_no_module_outside_the_command_line_prints() -> None:
    root = Path(interbert.__file__).parent
    for path in root.rglob("*.py"):
        if "cli" in path.relative_to(root).parts or path.name == "terminal.py":
            continue
        names = {
            node.func.id
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
        }
        assert not names & {"print", "say"}, path
