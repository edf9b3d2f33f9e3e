"""Every command and every example of docs/topics.md runs."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from tests.documented import blocks, commands, run
from tests.search.conftest import priced_rows, write_table

DOCS = (Path(__file__).parents[2] / "docs" / "topics.md").read_text(encoding="utf-8")


def test_every_command_and_example_runs(
    model: Path,
    shop_regions: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copytree(model, tmp_path / "models" / "retrieval")
    for name in ("train", "validation"):
        shutil.copytree(shop_regions, tmp_path / "regions" / name)
        write_table(tmp_path / f"{name}.parquet", priced_rows())
    write_table(tmp_path / "catalogue.parquet", priced_rows())
    (topics,) = blocks("json", DOCS)
    (tmp_path / "topics.jsonl").write_text(topics, encoding="utf-8")
    assert [line.split()[2] for line in commands(DOCS)] == ["learn", "build", "build", "page", "evaluate"]
    for line in commands(DOCS):
        if line.startswith("interbert topics learn"):
            run(line, capsys, "--columns stock")  # 24 products are too few to see which columns have few values
        else:
            run(line, capsys)
    assert [json.loads(line)["topic_id"] for line in topics.splitlines()] == ["jumpers", "reds"]
    assert "all in red" in (tmp_path / "topics.html").read_text(encoding="utf-8")
    capsys.readouterr()
    for block in blocks("python", DOCS):
        exec(compile(block, "docs/topics.md", "exec"), {})
