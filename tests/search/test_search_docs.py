"""Every command and every example of docs/search.md runs."""

from __future__ import annotations

import re
import shlex
import shutil
from pathlib import Path

import pytest
from tests.conftest import draw
from tests.search.conftest import priced_rows, write_table

from interbert.cli.main import main

DOCS = (Path(__file__).parents[2] / "docs" / "search.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", DOCS, flags=re.DOTALL)


def test_every_command_and_example_runs(
    model: Path,
    priced: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copytree(model, tmp_path / "models" / "retrieval")
    shutil.copy(priced, tmp_path / "catalogue.parquet")
    write_table(tmp_path / "new_products.parquet", [priced_rows()[0] | {"id": "new"}])
    (tmp_path / "prices.csv").write_text("id,price,stock\nred-circle,3.5,0\n")
    draw("red", "circle").save(tmp_path / "photo.jpg")
    commands = [line for block in blocks("bash") for line in block.splitlines() if line.strip()]
    assert len(commands) == 10
    for line in commands:
        words = shlex.split(line)
        assert words[0] == "interbert"
        assert main(words[1:]) == 0, (line, capsys.readouterr().err)
    assert "data:image/jpeg" in (tmp_path / "search.html").read_text(encoding="utf-8")
    capsys.readouterr()
    for block in blocks("python"):
        exec(compile(block, "docs/search.md", "exec"), {})
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 7
    assert "square" in lines[-1] or "circle" in lines[-1] or "triangle" in lines[-1]
