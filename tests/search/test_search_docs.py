"""Every command and every example of docs/search.md runs."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from tests.conftest import draw
from tests.documented import blocks, commands, run
from tests.search.conftest import priced_rows, write_table

DOCS = (Path(__file__).parents[2] / "docs" / "search.md").read_text(encoding="utf-8")


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
    (tmp_path / "queries.txt").write_text("a red circle\na blue box\n")
    (tmp_path / "synonyms.txt").write_text("square, box\n")
    assert len(commands(DOCS)) == 13
    for line in commands(DOCS):
        run(line, capsys)
    assert "data:image/jpeg" in (tmp_path / "search.html").read_text(encoding="utf-8")
    capsys.readouterr()
    for block in blocks("python", DOCS):
        exec(compile(block, "docs/search.md", "exec"), {})
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 8
    assert lines[0] == "a red circle (('cirkle', 'circle'),)"
    assert "square" in lines[-1] or "circle" in lines[-1] or "triangle" in lines[-1]
