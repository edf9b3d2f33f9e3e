"""Files of others that look a little like ours are not replaced; queries, tables and settings within limits."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from interbert.cli import search_queries
from interbert.cli.main import main
from interbert.cli.search_output import RESULTS
from interbert.cli.search_queries import queries_of, read_queries
from interbert.curation import img2dataset
from interbert.data.text_sources import read_texts
from interbert.errors import ConfigError, SourceError, UsageError
from interbert.extraction.sources import open_source
from interbert.search.hits import Hit
from interbert.search.results import Results, format_results
from interbert.utils import bounded_parquet
from interbert.utils.files import TABLE_PREDICTIONS, atomic_write, only_writer
from interbert.utils.redaction import without_credentials
from interbert.vl_tasks.example import Example
from interbert.vl_tasks.heads import LabelHead
from interbert.vl_tasks.images import _files
from interbert.vl_tasks.prediction_files import write_table
from interbert.vl_tasks.task import Prediction
from tests.conftest import draw, file_bytes, tiny_config

HALF = "red \ud83d"


@pytest.mark.parametrize("suffix", [".jsonl", ".csv", ".parquet"])
def test_predictions_are_known_by_their_columns(tmp_path: Path, suffix: str) -> None:
    said = Prediction("b", np.array([0.1, 0.9], dtype=np.float32), np.zeros((0, 4), np.float32))
    own = tmp_path / f"own{suffix}"
    write_table(own, [Example("7", (), ("x",))], [said], LabelHead(["a", "b" * 5000], False, 1), 2)
    assert TABLE_PREDICTIONS.recognises(own)


def test_tables_that_speak_of_answers_are_no_predictions(tmp_path: Path) -> None:
    table = tmp_path / "other.parquet"
    pq.write_table(pa.table({"text": ["an answer has a probability; answers have an id"]}), table)
    assert not TABLE_PREDICTIONS.recognises(table)
    table.write_bytes(b"PAR1 answer probability answers")
    assert not TABLE_PREDICTIONS.recognises(table)
    lines = tmp_path / "other.jsonl"
    lines.write_text('{"id": 1, "probability": 0.5}\n')
    assert not TABLE_PREDICTIONS.recognises(lines)


def test_results_are_known_by_how_they_were_searched(tmp_path: Path) -> None:
    hit = Hit(rank=1, id="a", product_id="a", score=0.5, probability=0.5, texts=("x",))
    one = Results("red", [hit], "red " * 20_000, "q1")
    for suffix in (".json", ".jsonl", ".csv"):
        own = tmp_path / f"own{suffix}"
        own.write_text(format_results([one], str(own)))
        assert RESULTS.recognises(own), suffix
    for content in ('[\n{"query_id": 1, "query": "red"}\n]', '{"query_id": "1", "query": "red"}\n', "query_id,query\n"):
        (tmp_path / "queries.json").write_text(content)
        assert not RESULTS.recognises(tmp_path / "queries.json"), content


def test_queries_are_texts_that_can_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "q.jsonl"
    file.write_text(json.dumps({"id": HALF, "text": HALF}) + "\n")
    (query,) = read_queries(str(file))
    assert (query.query_id, query.text) == ("red \ufffd", "red \ufffd")
    assert queries_of("\udcff red|blue", None, None)[0].text == "\ufffd red"  # bytes of a terminal that is not UTF-8
    file.write_text(json.dumps({"text": "x" * 100_001}) + "\n")
    with pytest.raises(SourceError, match="line 1: has a text or an id of 100,001 characters"):
        read_queries(str(file))
    with pytest.raises(UsageError, match="search: has a text or an id of 100,001 characters"):
        queries_of("x" * 100_001, None, None)
    monkeypatch.setattr(search_queries, "_MOST", 3)
    (tmp_path / "q.txt").write_text("a\n" * 4)
    with pytest.raises(SourceError, match="holds more than 3 queries"):
        read_queries(str(tmp_path / "q.txt"))


def dictionary(path: Path, rows: int, text: str) -> Path:
    """A parquet file that holds a text once and refers to it from every row."""
    texts = pa.DictionaryArray.from_arrays(pa.array([0] * rows, pa.int32()), pa.array([text]))
    keys = [f"{row:05d}" for row in range(rows)]
    pq.write_table(
        pa.table({"key": keys, "title": texts, "status": ["success"] * rows}), path, row_group_size=rows // 3
    )
    return path


def test_what_a_text_stands_for_is_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    table = dictionary(tmp_path / "a.parquet", 300, "a shoe " * 1000)
    assert read_texts([str(table)]).repeated == 299  # over row groups, of one column of three
    assert len(img2dataset._read(table)["title"]) == 300
    monkeypatch.setattr(bounded_parquet, "EXPANDED", 1_000_000)
    monkeypatch.setattr(bounded_parquet, "EXPANDED_TIMES", 1)
    for read in (lambda: read_texts([str(table)]), lambda: img2dataset._read(table)):
        with pytest.raises(SourceError, match="its values have more than 1,000,000 bytes"):
            read()


def test_a_row_that_is_too_large_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pq.write_table(pa.table({"title": ["x" * 3000, "y"]}), tmp_path / "a.parquet", use_dictionary=False)
    monkeypatch.setattr(bounded_parquet, "MAX_ROW", 1000)
    with pytest.raises(SourceError, match=r"has a row of \d,\d\d\d bytes; at most 1,000 are read"):
        bounded_parquet.require_bounded(tmp_path / "a.parquet")


@pytest.mark.parametrize(
    "name", ["layer_norm_eps", "hub_correction", "lm_loss_weight", "type_vocab_size", "hidden_act"]
)
@pytest.mark.parametrize("value", [None, "x", [["a"]], {"a": 1}, 10**400, float("nan")])
def test_settings_that_are_no_numbers_are_named(name: str, value: object) -> None:
    with pytest.raises(ConfigError, match=f"{name} "):
        tiny_config(**{name: value})


def test_halves_of_characters_are_written_as_json_has_them(tmp_path: Path) -> None:
    atomic_write(tmp_path / "a.json", json.dumps([HALF, "茶"], ensure_ascii=False))
    assert json.loads((tmp_path / "a.json").read_text(encoding="utf-8")) == [HALF, "茶"]


def test_a_secret_behind_an_encoded_question_mark_is_left_out() -> None:
    assert without_credentials("'/a/s3:/bucket/shop%3Ftoken=wJalr/x'") == "'/a/s3:/bucket/shop'"
    assert without_credentials("a%3Fb=c&d%26page=2") == "a%3Fb=c&d%26page=2"


def test_an_option_that_is_a_word_is_said_to_be_one(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["export", "onnx", "model", "out", "--regions", "x"]) == 2
    assert "there is no option --regions. Give REGIONS without its name." in capsys.readouterr().err


def test_a_folder_whose_name_is_no_text_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "a.png").write_bytes(file_bytes(draw("red", "circle")))
    (tmp_path / "\udcff.png").write_bytes(file_bytes(draw("red", "circle")))
    with pytest.raises(SourceError, match=r"the name '\\udcff.png' is no UTF-8. Rename it"):
        open_source(str(tmp_path), need_texts=False)
    with pytest.raises(UsageError, match="its name is no UTF-8"), only_writer(tmp_path / "\udcff"):
        pass
    assert main(["regions", "verify", str(tmp_path / "\udcff"), "--remove"]) == 2
    assert "\\udcff: its name is no UTF-8" in capsys.readouterr().err


def test_images_whose_names_are_no_text_are_passed_over(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    for name in ("7.png", "\udcff8.png"):
        (tmp_path / name).write_bytes(b"")
    assert _files(str(tmp_path), {"7": ["7"], "8": ["8"]}) == {"7": "7.png"}
    assert "1 images are passed over whose names are no UTF-8" in caplog.text
