"""GQA: questions by id, metrics over the balanced ones, consistency by entailed ones."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from interbert.cli.main import main
from interbert.errors import DataError, InterBertError, SourceError
from interbert.vl_tasks import gqa
from interbert.vl_tasks.left_out import LeftOut


def question(
    answer: str | None, entailed: tuple[str, ...] = (), balanced: bool = True, group: str | None = "thing", **types: str
) -> dict[str, Any]:
    """With the fields of the published files."""
    row = {
        "semantic": [{"operation": "select", "dependencies": [], "argument": "chalkboard (0)"}],
        "entailed": list(entailed),
        "equivalent": [],
        "question": "What is hanging above the chalkboard?",
        "imageId": "n578564",
        "isBalanced": balanced,
        "groups": {"global": group, "local": "14-chalkboard"},
        "semanticStr": "select: chalkboard (0)",
        "annotations": {"answer": {}, "question": {}, "fullAnswer": {}},
        "types": {"detailed": "relS", "semantic": "rel", "structural": "query", **types},
        "fullAnswer": "The picture.",
    }
    return row if answer is None else {**row, "answer": answer}


QUESTIONS = {
    "01": question("picture", ("01", "02", "03")),
    "02": question("yes", balanced=False, structural="verify"),
    "03": question("no", ("02",), group=None, structural="logical"),
    "04": question("color", ("01",), detailed="verifyCommonTwo", structural="compare"),
}
PREDICTIONS = {"01": "picture", "02": "yes", "03": "yes", "04": "color", "99": "of another file"}
CHOICES = {
    "01": {"valid": ["picture", "clock"], "plausible": ["clock"]},
    "02": {"valid": ["yes", "no"], "plausible": ["yes", "no"]},
    "03": {"valid": ["yes", "no"], "plausible": ["no"]},
    "04": {"valid": ["red"], "plausible": ["red"]},
}


def written(path: Path, content: Any) -> Path:
    path.write_text(json.dumps(content), encoding="utf-8")
    return path


def predictions_file(folder: Path, predictions: dict[str, str]) -> Path:
    rows = [{"questionId": name, "prediction": answer} for name, answer in predictions.items()]
    return written(folder / "predictions.json", rows)


def test_scores_worked_by_hand(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    questions = written(tmp_path / "val_all_questions.json", QUESTIONS)
    choices = written(tmp_path / "val_choices.json", CHOICES)
    predictions = predictions_file(tmp_path, PREDICTIONS)
    assert main(["score", "gqa", str(predictions), str(questions), str(choices), "--json"]) == 0
    expected = {
        "accuracy": 2 / 3,
        "open": 1.0,
        "binary": 0.5,  # 03 wrong, 04 right
        "validity": 1.0,  # 04 asks what is common: color is valid whatever its choices say
        "plausibility": 1 / 3,
        "consistency": (0.5 + 1.0) / 2,  # 01 entails 02 (right) and 03 (wrong), not itself; 04 entails 01; 03 is wrong
        "distribution": 0.0,
        "n": 3,
        "n_consistency": 2,
        "ignored": 1,
    }
    assert json.loads(capsys.readouterr().out) == {name: pytest.approx(value) for name, value in expected.items()}


def test_the_distribution_is_the_chi_square_of_groups() -> None:
    """Right: 3 red, 1 blue in a group of 4, 1 dog in one of 1; predicted: 4 blue; 1 cat."""
    rows = {str(number): question(answer) for number, answer in enumerate(("red", "red", "red", "blue"))}
    rows["9"] = question("dog", group="animal")
    examples = examples_of(rows)
    found = gqa.metrics({"0": "blue", "1": "blue", "2": "blue", "3": "blue", "9": "cat"}, examples)
    of_thing, of_animal = (0 - 3) ** 2 / 3 + (4 - 1) ** 2 / 1, (0 - 1) ** 2 / 1
    assert found.others["distribution"] == pytest.approx((of_thing * 4 + of_animal * 1) / 5 / 100)
    assert "distribution" not in found.intervals(10)


def examples_of(rows: dict[str, Any]) -> list[Any]:
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        return gqa.read_examples(written(Path(folder) / "questions.json", rows))


def test_consistency_needs_the_file_of_all_questions(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    balanced = written(tmp_path / "questions.json", {name: row for name, row in QUESTIONS.items() if row["isBalanced"]})
    found = gqa.score_files(predictions_file(tmp_path, PREDICTIONS), balanced).to_dict()
    assert found["consistency"] is None
    assert found["accuracy"] == pytest.approx(2 / 3)
    assert "validity" not in found
    without = {name: answer for name, answer in PREDICTIONS.items() if name != "02"}
    whole = written(tmp_path / "all.json", QUESTIONS)
    assert gqa.score_files(predictions_file(tmp_path, without), whole).to_dict()["consistency"] is None
    assert main(["score", "gqa", str(tmp_path / "predictions.json"), str(whole), "--bootstrap", "5"]) == 0
    shown = capsys.readouterr().out
    lines = {line.split()[0]: line.split()[1:] for line in shown.splitlines() if line.strip()}
    assert lines["consistency"] == ["not", "known"]
    assert lines["distribution"] == ["0.0000"], "without an interval"
    assert len(lines["accuracy"]) == 3


def test_balanced_questions_alone_or_all_of_a_folder_of_parts(tmp_path: Path) -> None:
    folder = tmp_path / "train_all_questions"
    folder.mkdir()
    written(folder / "train_all_questions_0.json", {"01": QUESTIONS["01"], "02": QUESTIONS["02"]})
    written(folder / "train_all_questions_1.json", {"03": QUESTIONS["03"]})
    assert [one.id for one in gqa.read_examples(folder)] == ["01", "02", "03"]
    passed = list[LeftOut]()
    found = gqa.read_examples(folder, balanced=True, left_out=passed)
    assert [(one.id, one.images, one.target) for one in found] == [
        ("01", ("n578564",), {"picture": 1.0}),
        ("03", ("n578564",), {"no": 1.0}),
    ]
    assert [(one.id, one.row, Path(one.file).name) for one in passed] == [("02", 2, "train_all_questions_0.json")]
    written(folder / "train_all_questions_2.json", {"01": QUESTIONS["01"]})
    with pytest.raises(DataError, match=r"_2.json, row 1: id '01' stands before"):
        gqa.read_examples(folder)


def test_a_blind_test_and_the_file_that_it_asks_for(tmp_path: Path) -> None:
    blind = written(tmp_path / "submission_all_questions.json", {"7": question(None), "8": question(None)})
    assert [one.target for one in gqa.read_examples(blind, labelled=False)] == [None, None]
    with pytest.raises(DataError, match="question 7 has no answer"):
        gqa.read_examples(blind, labelled=True)
    gqa.write_predictions(tmp_path / "out.json", {"7": "yes", "8": "left"})
    assert json.loads((tmp_path / "out.json").read_text()) == [
        {"questionId": "7", "prediction": "yes"},
        {"questionId": "8", "prediction": "left"},
    ]
    assert gqa.read_predictions(tmp_path / "out.json") == {"7": "yes", "8": "left"}


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ('{"1": {"question": "x", "imageId": "2"}, "1": {"question": "x", "imageId": "2"}}', "id '1' stands before"),
        ('{"1": {"question": "x"}}', "row 1: question 1 has no imageId"),
        ('{"1": {"question": "", "imageId": "2"}}', "row 1: question 1 has no question"),
        ('{"1": {"question": "x", "imageId": "2", "answer": 3}}', "its answer is no text"),
        ('{"1": "x"}', "and this is none"),
        ('[{"question": "x", "imageId": "2"}]', "and this is none"),
        ("{}", "holds no questions"),
        ('{"1": {"question": "x", "imageId": "2", "answer": "a"}, "2": {"question": "x", "imageId": "2"}}', "mixes"),
    ],
)
def test_bad_questions_are_named(tmp_path: Path, rows: str, message: str) -> None:
    (tmp_path / "q.json").write_text(rows)
    with pytest.raises(InterBertError, match=message):
        gqa.read_examples(tmp_path / "q.json")


def test_missing_predictions_and_choices_are_named(tmp_path: Path) -> None:
    questions = written(tmp_path / "q.json", QUESTIONS)
    with pytest.raises(DataError, match=r"no prediction for 2 of 3 balanced questions of .*: 03, 04"):
        gqa.score_files(predictions_file(tmp_path, {"01": "x"}), questions)
    choices = written(tmp_path / "c.json", {"01": CHOICES["01"]})
    with pytest.raises(DataError, match=r"c.json: has no choices for 2 balanced questions of .*: 03, 04"):
        gqa.score_files(predictions_file(tmp_path, PREDICTIONS), questions, choices)
    written(choices, {"01": {"valid": []}})
    with pytest.raises(DataError, match="no lists of valid and plausible"):
        gqa.score_files(predictions_file(tmp_path, PREDICTIONS), questions, choices)
    unbalanced = written(tmp_path / "u.json", {"02": QUESTIONS["02"]})
    with pytest.raises(DataError, match="no balanced question"):
        gqa.score_files(predictions_file(tmp_path, PREDICTIONS), unbalanced)
    with pytest.raises(SourceError, match="no balanced question"):
        gqa.read_examples(unbalanced, balanced=True)
