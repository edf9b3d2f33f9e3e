"""Commands and examples in documents, as tests run them."""

from __future__ import annotations

import re
import shlex

import pytest

from interbert.cli.main import main


def blocks(language: str, text: str) -> list[str]:
    """Contents of a document's fenced blocks."""
    return re.findall(rf"```{language}\n(.*?)```", text, flags=re.DOTALL)


def commands(text: str) -> list[str]:
    """Commands of a document's bash blocks; one that goes on after a backslash is one."""
    joined = [re.sub(r"\\\n *", "", block) for block in blocks("bash", text)]
    return [line for block in joined for line in block.splitlines() if line.strip()]


def run(command: str, capsys: pytest.CaptureFixture[str], more: str = "") -> None:
    """Run an interbert command in this process, with ``more`` options; it has to end well."""
    words = shlex.split(command)
    assert words[0] == "interbert"
    assert main([*words[1:], *shlex.split(more)]) == 0, (command, capsys.readouterr().err)
