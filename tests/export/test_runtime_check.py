"""Building an index measures both runtimes on its own pairs, and an engine does what was chosen."""

from __future__ import annotations

import importlib.util
import json
import logging
import shutil
from pathlib import Path
from typing import Any

import pytest
from tests.search.conftest import built, make_model, model, priced  # noqa: F401  fixtures

from interbert.search import exporting, openvino_joint, runtime_check
from interbert.search.engine import SearchEngine
from interbert.search.exported_encoder import ExportedScorer
from interbert.search.exporting import export_encoder
from interbert.search.index import ProductIndex
from interbert.search.index_model import model_folder
from interbert.search.query_encoder import ProductEncoder
from interbert.search.runtime_choice import CHECK_FILE, checked_runtime, processor_name

pytest.importorskip("openvino")


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runtime_check, "_LEAST_IMAGES", 1)
    monkeypatch.setattr(runtime_check, "_CANDIDATES", 2)


def test_the_faster_one_is_chosen_unless_its_scores_are_far_off(
    built: Path,  # noqa: F811
    model: Path,  # noqa: F811
    few: None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    index, encoder = ProductIndex.open(built), ProductEncoder.load(model, bf16=False)
    monkeypatch.setattr(runtime_check, "_FASTER", float("inf"))
    check = runtime_check.check_runtimes(index, encoder)
    assert check is not None
    assert check.runtime == "openvino"
    assert check.openvino_difference < 1e-4 < check.deviation
    assert check.pairs == 2 * (check.pairs // 2) > 0
    assert json.loads((built / CHECK_FILE).read_text())["pairs"] == check.pairs
    monkeypatch.setattr(runtime_check, "_SPREAD", -1.0)
    again = runtime_check.check_runtimes(index, encoder)
    assert again is not None
    assert again.runtime == "torch"
    assert checked_runtime(built, "auto") == "torch"
    assert checked_runtime(built, "openvino") == "openvino"
    assert SearchEngine.open(built).encoder.scorer.runtime == "torch"


def test_the_exported_model_is_measured_where_searches_use_it(
    built: Path,  # noqa: F811
    model: Path,  # noqa: F811
    few: None,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    shutil.copytree(built, tmp_path / "index")
    index, encoder = ProductIndex.open(tmp_path / "index"), ProductEncoder.load(model, bf16=False)
    monkeypatch.delenv(exporting.SWITCH, raising=False)
    assert export_encoder(encoder, model_folder(index.path, index.manifest.model_fingerprint))
    measured: list[int] = []
    pairs = ExportedScorer.pairs

    def counted(scorer: ExportedScorer, *arguments: Any) -> Any:
        measured.append(len(arguments[2]))
        return pairs(scorer, *arguments)

    monkeypatch.setattr(ExportedScorer, "pairs", counted)
    monkeypatch.setattr(openvino_joint, "OpenVinoScorer", None)
    check = runtime_check.check_runtimes(index, encoder)
    assert check is not None
    assert set(measured) == {check.pairs}
    assert check.openvino_difference < 1e-4


def test_nothing_is_measured_where_there_is_no_choice(
    built: Path,  # noqa: F811
    model: Path,  # noqa: F811
    few: None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    index, encoder = ProductIndex.open(built), ProductEncoder.load(model)
    (built / CHECK_FILE).write_text(json.dumps({"runtime": "torch", "processor": processor_name()}))
    monkeypatch.setattr(runtime_check, "_LEAST_IMAGES", 10_000)
    assert runtime_check.check_runtimes(index, encoder) is None
    assert not (built / CHECK_FILE).exists(), "what an earlier build measured"
    monkeypatch.setattr(runtime_check, "_LEAST_IMAGES", 1)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert runtime_check.check_runtimes(index, encoder) is None


def test_another_processor_and_a_damaged_file_count_for_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    assert checked_runtime(tmp_path, "auto") == "auto"
    file = tmp_path / CHECK_FILE
    file.write_text(json.dumps({"runtime": "torch", "processor": processor_name() + " II"}))
    assert checked_runtime(tmp_path, "auto") == "auto"
    assert checked_runtime("s3://bucket/shop", "auto") == "auto"
    for damaged in ("[1]", "{", "{}"):
        file.write_text(damaged)
        with caplog.at_level(logging.WARNING):
            assert checked_runtime(tmp_path, "auto") == "auto"
        assert CHECK_FILE in caplog.text
        caplog.clear()
