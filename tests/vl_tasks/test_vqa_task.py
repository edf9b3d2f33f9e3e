"""VQA v2: answers as the organisers compare them, questions and annotations, the results file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from interbert.cli.main import main
from interbert.errors import DataError, InterBertError, SourceError
from interbert.vl_tasks import vqa
from interbert.vl_tasks.vqa_answers import accuracy, label_scores, normalised

QUESTIONS = """{"info": {"version": "2.0"}, "task_type": "Open-Ended", "data_type": "mscoco", "data_subtype": "val2014",
"questions": [
 {"image_id": 262148, "question": "Where is he looking?", "question_id": 262148000},
 {"image_id": 262148, "question": "What is in his hand?", "question_id": 262148002},
 {"image_id": 42, "question": "How many?", "question_id": 42000}]}"""


def annotation(question: int, image: int, answers: list[str], kind: str = "other") -> dict[str, Any]:
    """As the published annotations have it."""
    people = [
        {"answer": answer, "answer_confidence": "yes", "answer_id": number} for number, answer in enumerate(answers, 1)
    ]
    return {
        "question_type": "what",
        "multiple_choice_answer": answers[0],
        "answers": people,
        "image_id": image,
        "answer_type": kind,
        "question_id": question,
    }


ANNOTATIONS = [
    annotation(262148000, 262148, ["down"] * 7 + ["at table", "skateboard", "Down."]),
    annotation(262148002, 262148, ["Nothing!"] * 10),
    annotation(42000, 42, ["2"] * 3 + ["two"] * 1 + ["3"] * 6, "number"),
]


def files(folder: Path, questions: str = QUESTIONS, annotations: Any = ANNOTATIONS) -> tuple[Path, Path]:
    (folder / "questions.json").write_text(questions, encoding="utf-8")
    told = {"data_subtype": "val2014", "annotations": annotations}
    (folder / "annotations.json").write_text(json.dumps(told), encoding="utf-8")
    return folder / "questions.json", folder / "annotations.json"


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ("The Dog", "dog"),
        ("a an the", ""),
        ("Three dogs", "3 dogs"),
        ("none", "0"),
        ("1,000", "1000"),
        ("red-and-blue", "red and blue"),  # no space beside the sign: a space takes its place
        ("red - blue", "red blue"),
        ("red-blue, green", "red blue green"),  # the comma has a space beside it, the hyphen has none
        ("1,000 red-blue", "1000 redblue"),  # a comma between digits anywhere joins at every sign
        ("U.S.A.", "usa"),
        ("3.5", "3.5"),
        ("5.", "5"),  # what the mistyped look-behind does not spare
        (".5", ".5"),
        (". " * 40, " ".join(["."] * 8)),  # 32 periods at most, since a flag is passed as a count
        ("dont", "don't"),
        ("somebody'd", "somebodyd"),  # a pair that the organisers' table has the wrong way round
        ("couldn'tve", "couldn't've"),
        ("'ows'at", "'ow's'at"),
        ("lets", "lets"),
        ("ten  \t pm", "10 pm"),
        ("what's up?", "what's up"),
    ],
)
def test_answers_are_normalised_with_the_organisers_quirks(answer: str, expected: str) -> None:
    assert normalised(answer) == expected


@pytest.mark.parametrize(("matches", "expected"), [(0, 0), (1, 0.3), (2, 0.6), (3, 0.9), (4, 1), (10, 1)])
def test_accuracy_leaves_each_person_out_once(matches: int, expected: float) -> None:
    people = ["net"] * matches + [f"other {number}" for number in range(10 - matches)]
    assert accuracy("net", people) == pytest.approx(expected)


def test_answers_that_all_agree_are_compared_as_they_are() -> None:
    assert accuracy("Yes", ["yes"] * 10) == 0
    assert accuracy(" yes\n", ["yes"] * 10) == 1
    assert accuracy("Yes.", ["yes"] * 9 + ["no"]) == 1
    assert accuracy("a dog", ["dog", "the dog"] * 5) == 1


def test_answers_are_counted_after_normalising() -> None:
    people = ["two", "2", "Two.", "3", "3", "3", "3", "4", "4", "five"]
    scores = label_scores(people, None)
    assert scores == {"2": pytest.approx(0.9), "3": 1.0, "4": pytest.approx(0.6), "5": pytest.approx(0.3)}
    assert label_scores(people, {"4": 0, "2": 1}).keys() == {"2", "4"}


def test_questions_keep_their_image_by_every_name_of_it(tmp_path: Path) -> None:
    questions, annotations = files(tmp_path)
    found = vqa.read_examples(questions, annotations, ["down", "2", "3"])
    assert [one.id for one in found] == ["262148000", "262148002", "42000"]
    assert found[2].images == ("42",)
    assert found[2].texts == ("How many?",)
    (names,) = found[2].details["image_names"]
    assert names[0] == "COCO_val2014_000000000042"
    assert {"COCO_train2014_000000000042", "COCO_test2015_000000000042", "000000000042"} < set(names)
    assert found[0].target == {"down": 1.0}
    assert found[1].target == {}, "none of its answers is listed, and it stays"
    assert found[2].target == {"2": 1.0, "3": 1.0}
    assert vqa.image_names("42", "test-dev2015")[0] == "COCO_test2015_000000000042"
    assert vqa.image_names("scene-7") == ()


def test_a_blind_test_has_no_target(tmp_path: Path) -> None:
    assert {one.target for one in vqa.read_examples(files(tmp_path)[0])} == {None}


def test_scores_worked_by_hand(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    questions, annotations = files(tmp_path)
    results = tmp_path / "results.json"
    results.write_text(
        '[{"question_id": 42000, "answer": "two"}, {"question_id": 262148000, "answer": "table"},'
        ' {"question_id": 262148002, "answer": "Nothing!"}]'
    )
    for truths in ([str(annotations)], [str(annotations), str(questions)]):
        assert main(["score", "vqa", str(results), *truths, "--json"]) == 0
        shown = json.loads(capsys.readouterr().out)
        expected = {"accuracy": 2 / 3, "accuracy_other": 0.5, "accuracy_number": 1.0, "n": 3, "ignored": 0}
        assert shown == {name: pytest.approx(value) for name, value in expected.items()}
    examples = vqa.read_examples(questions, annotations)
    assert vqa.metrics(vqa.read_predictions(results), examples).to_dict() == shown


def test_results_are_written_as_the_leaderboard_reads_them(tmp_path: Path) -> None:
    vqa.write_predictions(tmp_path / "out.json", {"42000": "café", "7": ""})
    text = (tmp_path / "out.json").read_text(encoding="utf-8")
    assert json.loads(text) == [{"question_id": 42000, "answer": "café"}, {"question_id": 7, "answer": ""}]
    assert vqa.read_predictions(tmp_path / "out.json") == {"42000": "café", "7": ""}


def changed(row: int, **values: Any) -> list[dict[str, Any]]:
    return [{**one, **values} if place == row else one for place, one in enumerate(ANNOTATIONS)]


@pytest.mark.parametrize(
    ("annotations", "message"),
    [
        (ANNOTATIONS[:2], "question 42000 has no answers"),
        ([*ANNOTATIONS, annotation(9, 9, ["x"] * 10)], "different splits"),
        ([*ANNOTATIONS, ANNOTATIONS[0]], "row 4: question_id 262148000 stands in row 1, too"),
        (changed(1, image_id=7), "row 2: question 262148002 is of image 262148"),
        (changed(2, answers=[]), "row 3: question 42000 has no list of answers"),
        (changed(2, answers=[{"answer": 2}]), "row 3: question 42000 has no list of answers"),
    ],
)
def test_bad_annotations_are_named(tmp_path: Path, annotations: Any, message: str) -> None:
    questions, told = files(tmp_path, annotations=annotations)
    with pytest.raises(DataError, match=message):
        vqa.read_examples(questions, told)


def test_files_of_two_splits_are_refused(tmp_path: Path) -> None:
    questions, annotations = files(tmp_path, QUESTIONS.replace("val2014", "train2014"))
    with pytest.raises(DataError, match=r"is of val2014, and .* of train2014"):
        vqa.read_examples(questions, annotations)


@pytest.mark.parametrize(
    ("results", "message"),
    [
        ('[{"question_id": 42000, "answer": "2"}]', "no prediction for 2 of 3 questions"),
        ('[{"question_id": 42000}]', "its answer is no text"),
        ('[{"question_id": 42000, "answer": "2"}, {"question_id": "42000", "answer": "2"}]', "stands in row 1, too"),
        ('[{"answer": "2"}]', "row 1: has no question_id"),
        ('{"42000": "2"}', "holds no results"),
        ('[{"question_id": 42000, "answ', "no whole JSON"),
        ("[3]", "row 1: is no JSON object"),
    ],
)
def test_bad_results_are_named(tmp_path: Path, results: str, message: str) -> None:
    (tmp_path / "results.json").write_text(results)
    with pytest.raises(InterBertError, match=message):
        vqa.score_files(tmp_path / "results.json", files(tmp_path)[1])


def test_surplus_results_are_named(tmp_path: Path) -> None:
    rows = [{"question_id": one["question_id"], "answer": "2"} for one in ANNOTATIONS]
    (tmp_path / "results.json").write_text(json.dumps([*rows, {"question_id": 5, "answer": "2"}]))
    with pytest.raises(DataError, match=r"1 of its predictions .*: 5\. Is it another split"):
        vqa.score_files(tmp_path / "results.json", files(tmp_path)[1])


def test_answers_that_a_model_gives(tmp_path: Path) -> None:
    path = tmp_path / "label2ans.json"
    path.write_text('["", "woods", "2"]')
    assert vqa.read_answers(path) == ["", "woods", "2"]
    path.write_text('["woods", "woods"]')
    with pytest.raises(DataError, match="'woods' twice"):
        vqa.read_answers(path)
    path.write_text('{"woods": 0}')
    with pytest.raises(DataError, match="no JSON list"):
        vqa.read_answers(path)
    with pytest.raises(SourceError, match="cannot be read"):
        vqa.read_answers(tmp_path / "absent.json")
