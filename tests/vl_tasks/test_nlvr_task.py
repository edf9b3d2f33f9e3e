"""NLVR2 and NLVR: two photographs or one drawing in six orders, consistency over a sentence's examples."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from interbert.cli.main import main
from interbert.errors import DataError, InterBertError
from interbert.vl_tasks import nlvr

PAIRS = """{"identifier": "dev-850-0-0", "sentence": "The right image shows a walkway.", "label": "False", \
"left_url": "x", "right_url": "y", "writer": "61", "validation": {"61": "False"}, "synset": "beer bottle"}
{"identifier": "dev-850-1-0", "sentence": "The right image shows a walkway.", "label": "True"}
{"identifier": "dev-850-0-1", "sentence": "At least four rows.", "label": "False"}
{"identifier": "dev-851-0-0", "sentence": "One dog.", "label": "True"}
"""
DRAWINGS = """{"sentence": "There is a tower with four blocks.", "label": "true", "identifier": "3125-1", \
"directory": "2", "evals": {"r1": "true"}, "structured_rep": [[], [], []]}
{"sentence": "There is a tower with four blocks.", "label": "false", "identifier": "3125-0", "directory": "2"}
"""


def written(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


def test_pairs_have_two_images_and_labels_that_are_texts(tmp_path: Path) -> None:
    found = nlvr.read_examples(written(tmp_path / "dev.json", PAIRS))
    assert found[2].images == ("dev-850-0-img0", "dev-850-0-img1")
    assert [one.target for one in found] == [{"False": 1.0}, {"True": 1.0}, {"False": 1.0}, {"True": 1.0}]
    assert found[0].details["group"] == found[1].details["group"] != found[2].details["group"]
    for label in ("true", "false", "True"):
        assert nlvr.read_examples(written(tmp_path / "one.json", PAIRS.splitlines()[3].replace("True", label)))
    with pytest.raises(DataError, match="of the type bool; labels are texts"):
        nlvr.read_examples(written(tmp_path / "dev.json", PAIRS.replace('"label": "True"', '"label": true')))


def test_pairs_worked_by_hand(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Three of four are right; of three sentences one has both pairs right, and one its only pair."""
    truth = written(tmp_path / "dev.json", PAIRS)
    lines = "dev-851-0-0,False\ndev-850-0-0,False\ndev-850-1-0,true\ndev-850-0-1,FALSE\n"
    predictions = written(tmp_path / "predictions.csv", lines)
    assert main(["score", "nlvr2", str(predictions), str(truth), "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert shown == {
        "accuracy": 0.75,
        "consistency": pytest.approx(2 / 3),
        "n": 4,
        "n_consistency": 3,
        "ignored": 0,
    }


def test_a_drawing_is_six_images_each_predicted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    truth = written(tmp_path / "dev.json", DRAWINGS)
    found = nlvr.read_examples(truth)
    assert [one.id for one in found[:7]] == [*(f"dev-3125-1-{order}" for order in range(6)), "dev-3125-0-0"]
    assert found[3].images == ("dev-3125-1-3",)
    assert found[3].details["directory"] == "2"
    right = {one.id: "True" if "3125-1" in one.id else "False" for one in found}
    nlvr.write_predictions(tmp_path / "out.csv", right | {"dev-3125-1-5": "False"}, drawings=True)
    assert (tmp_path / "out.csv").read_text().splitlines()[5] == "dev-3125-1-5.png,false"
    assert main(["score", "nlvr", str(tmp_path / "out.csv"), str(truth), "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert (shown["accuracy"], shown["consistency"], shown["n"]) == (pytest.approx(11 / 12), 0.0, 12)
    renamed = written(tmp_path / "answers.json", DRAWINGS)
    assert nlvr.score_files(tmp_path / "out.csv", renamed).to_dict() == shown


def test_a_csv_of_pairs_is_what_the_organisers_read(tmp_path: Path) -> None:
    nlvr.write_predictions(tmp_path / "out.csv", {"test1-0-1-0": "True", "test1-0-2-0": "False"})
    assert (tmp_path / "out.csv").read_text() == "test1-0-1-0,True\ntest1-0-2-0,False\n"
    assert nlvr.read_predictions(tmp_path / "out.csv") == {"test1-0-1-0": "True", "test1-0-2-0": "False"}


def test_validation_comes_out_of_train_by_directory(tmp_path: Path) -> None:
    rows: list[dict[str, Any]] = [
        {"identifier": f"train-{group}-{pair}-0", "sentence": "x", "label": "True", "directory": group % 3}
        for group in range(6)
        for pair in range(2)
    ]
    examples = nlvr.read_examples(written(tmp_path / "train.json", "\n".join(map(json.dumps, rows))))
    train, validation = nlvr.split_by_directory(examples, ["1"])
    assert {one.images for one in train}.isdisjoint({one.images for one in validation})
    assert {one.id.split("-")[1] for one in validation} == {"1", "4"}
    assert len(train) + len(validation) == 12
    with pytest.raises(DataError, match="no example is of the directories 9"):
        nlvr.split_by_directory(examples, ["1", "9"])
    with pytest.raises(DataError, match="has no directory"):
        nlvr.split_by_directory(nlvr.read_examples(written(tmp_path / "dev.json", PAIRS)), ["1"])


def test_a_blind_test_has_no_labels(tmp_path: Path) -> None:
    blind = "\n".join(line.replace('"label": ', '"other": ') for line in PAIRS.splitlines())
    path = written(tmp_path / "test.json", blind)
    assert {one.target for one in nlvr.read_examples(path, labelled=False)} == {None}
    with pytest.raises(DataError, match=r"row 1: dev-850-0-0 has no label, which training"):
        nlvr.read_examples(path, labelled=True)
    with pytest.raises(DataError, match="a test file must have none"):
        nlvr.read_examples(written(path, PAIRS), labelled=False)


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (PAIRS + PAIRS.splitlines()[0], "row 5: identifier dev-850-0-0 stands in row 1, too"),
        (PAIRS + PAIRS.splitlines()[0].replace("dev-850", "train-850"), "row 5: .* is of another split than dev"),
        (
            PAIRS + '{"identifier": "dev-9-9-9", "sentence": "x"}',
            "row 5: dev-9-9-9 has no label, unlike the rows before",
        ),
        (PAIRS.replace("dev-851-0-0", "851"), "row 4: 851 is no identifier"),
        (PAIRS.replace("dev-851-0-0", "../851-0-0-0"), "is no identifier"),
        (PAIRS.replace('"sentence": "One', '"text": "One'), "row 4: dev-851-0-0 has no sentence"),
        (PAIRS.replace('"True"}\n{"identifier": "dev-850-0-1"', '"maybe"}\n{"identifier": "dev-850-0-1"'), "'maybe'"),
        ("", "holds no examples"),
        ("[1]", "row 1: is no JSON object"),
    ],
)
def test_bad_lines_are_named(tmp_path: Path, lines: str, message: str) -> None:
    with pytest.raises(InterBertError, match=message):
        nlvr.read_examples(written(tmp_path / "dev.json", lines))


def test_drawings_need_their_split(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="does not say its split"):
        nlvr.read_examples(written(tmp_path / "some.json", DRAWINGS))
    assert nlvr.read_examples(tmp_path / "some.json", "train")[0].images == ("train-3125-1-0",)


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ("dev-850-0-0,False\n", "no prediction for 3 of 4 examples"),
        ("dev-850-0-0,False\ndev-850-0-0,True\n", "row 2: dev-850-0-0 stands in a line before"),
        ("dev-850-0-0 False\n", "row 1: is no line identifier,True"),
        ("dev-850-0-0,1\n", "row 1: is no line identifier,True"),
        ("\n", "holds no predictions"),
        ("dev-850-0-0,True\ndev-850-1-0,True\ndev-850-0-1,True\ndev-851-0-0,True\ntest1-1-1-1,True\n", "another split"),
    ],
)
def test_bad_predictions_are_named(tmp_path: Path, lines: str, message: str) -> None:
    truth = written(tmp_path / "dev.json", PAIRS)
    with pytest.raises(InterBertError, match=message):
        nlvr.score_files(written(tmp_path / "predictions.csv", lines), truth)
