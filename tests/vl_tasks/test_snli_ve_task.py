"""SNLI-VE: the premise text is never read, and sentences without a label are counted and left out."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import pytest

from interbert.cli.main import main
from interbert.errors import DataError, InterBertError
from interbert.vl_tasks import snli_ve
from interbert.vl_tasks.left_out import LeftOut

LINES = """{"Flickr30K_ID": "2248275918", "annotator_labels": ["contradiction"], "captionID": "2248275918.jpg#2", \
"gold_label": "contradiction", "pairID": "2248275918.jpg#2r1c", "sentence1": "A toddler poses at an office.", \
"sentence1_parse": "(ROOT ...)", "sentence2": "A toddler sleeps outside."}
{"Flikr30kID": "2248275918.jpg", "gold_label": "neutral", "pairID": "2248275918.jpg#2r1n", "sentence2": "It is late."}
{"Flickr30K_ID": "402978771", "gold_label": "-", "pairID": "402978771.jpg#0r1e", "sentence2": "People argue."}
{"Flickr30K_ID": 402978771, "gold_label": "entailment", "pairID": "402978771.jpg#0r2e", "sentence2": "People stand."}
"""
PREDICTIONS = """{"pairID": "402978771.jpg#0r2e", "label": "neutral"}
{"pairID": "402978771.jpg#0r1e", "label": "neutral"}
{"pairID": "2248275918.jpg#2r1c", "label": "contradiction"}
{"pairID": "2248275918.jpg#2r1n", "label": "neutral"}
"""


def written(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


def test_the_premise_text_is_never_read(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    passed = list[LeftOut]()
    found = snli_ve.read_examples(written(tmp_path / "dev.jsonl", LINES), left_out=passed)
    assert all("office" not in repr(one) for one in found)
    assert [(one.images, one.texts, one.target) for one in found] == [
        (("2248275918",), ("A toddler sleeps outside.",), {"contradiction": 1.0}),
        (("2248275918",), ("It is late.",), {"neutral": 1.0}),
        (("402978771",), ("People stand.",), {"entailment": 1.0}),
    ]
    assert [(one.row, one.id, one.reason) for one in passed] == [
        (3, "402978771.jpg#0r1e", "annotators did not agree on a label")
    ]
    with caplog.at_level(logging.WARNING, logger="interbert"):
        assert snli_ve.read_examples(tmp_path / "dev.jsonl") == found
    assert "1 left out: annotators did not agree on a label; the first is 402978771.jpg#0r1e, row 3" in caplog.text
    without = LINES.replace('"sentence1": "A toddler poses at an office.", ', "")
    assert snli_ve.read_examples(written(tmp_path / "other.jsonl", without)) == found


def test_scores_worked_by_hand(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    truth, predictions = written(tmp_path / "dev.jsonl", LINES), written(tmp_path / "out.jsonl", PREDICTIONS)
    assert main(["score", "snli-ve", str(predictions), str(truth), "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {
        "accuracy": pytest.approx(2 / 3),
        "accuracy_contradiction": 1.0,
        "accuracy_neutral": 1.0,
        "accuracy_entailment": 0.0,
        "n": 3,
        "left_out": 1,
        "ignored": 0,
    }


def test_predictions_are_written_and_read(tmp_path: Path) -> None:
    snli_ve.write_predictions(tmp_path / "out.jsonl", {"a.jpg#0": "neutral", "b.jpg#1": "entailment"})
    first = (tmp_path / "out.jsonl").read_text().splitlines()[0]
    assert json.loads(first) == {"pairID": "a.jpg#0", "label": "neutral"}
    assert snli_ve.read_predictions(tmp_path / "out.jsonl") == {"a.jpg#0": "neutral", "b.jpg#1": "entailment"}


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (LINES + LINES.splitlines()[0], "row 5: pairID 2248275918.jpg#2r1c stands in row 1, too"),
        (LINES.replace('"entailment"', "2"), "row 4: .* has the gold_label '2'; labels are contradiction, neutral"),
        (LINES.replace('"sentence2": "It is late."', '"s": 1'), "row 2: .* has no sentence2"),
        (LINES.replace('"Flikr30kID": "2248275918.jpg"', '"i": 1'), "row 2: .* has no Flickr30K_ID"),
        (LINES.replace('"gold_label": "entailment", ', ""), "row 4: .* has no gold_label, unlike the rows before"),
    ],
)
def test_bad_lines_are_named(tmp_path: Path, lines: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        snli_ve.read_examples(written(tmp_path / "dev.jsonl", lines))


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (PREDICTIONS.splitlines()[0], "no prediction for 2 of 3 pairs"),
        (PREDICTIONS + '{"pairID": "x", "label": "neutral"}', "1 of its predictions are of no pair"),
        (PREDICTIONS.replace('"label": "contradiction"', '"label": 0'), "row 3: .*: its label is '0'"),
        (PREDICTIONS + PREDICTIONS.splitlines()[0], "row 5: pairID .* stands in row 1, too"),
    ],
)
def test_bad_predictions_are_named(tmp_path: Path, lines: str, message: str) -> None:
    truth = written(tmp_path / "dev.jsonl", LINES)
    with pytest.raises(InterBertError, match=message):
        snli_ve.score_files(written(tmp_path / "out.jsonl", lines), truth)
