"""VCR: tags become names, boxes have scores, three scores joined by annot_id, the csv of 21 columns."""

from __future__ import annotations

import copy
import json
import re
from pathlib import Path
from typing import Any

import pytest

from interbert.cli.main import main
from interbert.errors import DataError, InterBertError, UsageError
from interbert.vl_tasks import vcr
from interbert.vl_tasks.vcr_names import NAMES

IMAGE = "lsmdc_3023_DISTRICT_9/3023_DISTRICT_9_01.21.02.808-01.21.16.722@5"
ITEM: dict[str, Any] = {
    "movie": "3023_DISTRICT_9",
    "objects": ["person", "person", "person", "car", "cellphone"],
    "interesting_scores": [0],
    "answer_likelihood": "possible",
    "img_fn": f"{IMAGE}.jpg",
    "metadata_fn": f"{IMAGE}.json",
    "answer_orig": "No she does not",
    "question_orig": "Does 3 feel comfortable?",
    "question": ["Does", [2], "feel", "comfortable", "near", [0, 1], "and", [3], "?"],
    "answer_match_iter": [0, 1, 2, 3],
    "answer_sources": [3287, 0, 10184, 2260],
    "answer_choices": [
        ["Yes", ",", [2], "is", "calm", "."],
        ["No", ",", [0, 2], "argue", "."],
        [[1], "holds", [4], "."],
        ["No", "."],
    ],
    "answer_label": 1,
    "rationale_choices": [
        [[0, 1, 2], "are", "tense", "."],
        [[2], "is", "next", "to", [3], "."],
        [[4], "rings", "."],
        ["It", "is", "late", "."],
    ],
    "rationale_sources": [1, 0, 2, 3],
    "rationale_label": 3,
    "img_id": "val-0",
    "question_number": 0,
    "annot_id": "val-0",
    "match_fold": "val-0",
    "match_index": 0,
}
METADATA = {
    "boxes": [[0, 1, 50, 90, 0.99], [5, 5, 60, 95, 0.98], [70, 1, 99, 90, 0.5], [0, 50, 20, 60, 0.7], [1, 1, 9, 9, 1]],
    "segms": [[[[1, 2], [3, 4]]]] * 5,
    "names": ITEM["objects"],
    "width": 100,
    "height": 100,
}


def item(**values: Any) -> dict[str, Any]:
    return {**copy.deepcopy(ITEM), **values}


def blind(**values: Any) -> dict[str, Any]:
    """As in test.jsonl: labels are held back."""
    row = item(annot_id="test-0", img_id="test-0", **values)
    return {name: value for name, value in row.items() if not name.endswith("_label")}


def lines(folder: Path, *rows: dict[str, Any], name: str = "val.jsonl") -> Path:
    (folder / name).write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return folder / name


def images(folder: Path, metadata: Any = METADATA) -> Path:
    path = folder / "vcr1images" / f"{IMAGE}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(metadata), encoding="utf-8")
    return folder / "vcr1images"


def test_one_person_has_one_name_in_all_parts(tmp_path: Path) -> None:
    path = lines(tmp_path, item(), item(annot_id="val-1"))
    answers, other = vcr.read_examples(path)
    rationales, _ = vcr.read_examples(path, "qa_r")
    match = re.fullmatch(r"Does (\w+) feel comfortable near (\w+) and (\w+) and car \?", answers.texts[0])
    assert match is not None, answers.texts
    third, first, second = match.groups()
    assert len({first, second, third}) == 3
    assert {first, second, third} < set(NAMES)
    assert answers.texts == (answers.texts[0],) * 4
    assert answers.second_texts == (
        f"Yes , {third} is calm .",
        f"No , {first} and {third} argue .",
        f"{second} holds cellphone .",
        "No .",
    )
    assert rationales.texts == (f"{answers.texts[0]} No , {first} and {third} argue .",) * 4
    assert rationales.second_texts[:2] == (f"{first}, {second} and {third} are tense .", f"{third} is next to car .")
    assert (answers.target, rationales.target) == (1, 3)
    assert other.texts != answers.texts, "another item of the same image has names of its own"


def test_names_are_drawn_by_seed_and_item_alone(tmp_path: Path) -> None:
    path = lines(tmp_path, item(), item(annot_id="val-1"))
    turned = lines(tmp_path, item(annot_id="val-1"), item(), name="turned.jsonl")
    assert vcr.read_examples(path)[0].texts == vcr.read_examples(turned)[1].texts
    texts = {vcr.read_examples(path, seed=seed)[0].texts[0] for seed in range(8)}
    assert len(texts) >= 7


def test_more_people_than_names_stay_apart(tmp_path: Path) -> None:
    many = len(NAMES) + 3
    row = item(objects=["person"] * many, question=["Are", list(range(many)), "there", "?"])
    (example,) = vcr.read_examples(lines(tmp_path, row))
    named = re.split(r", | and ", example.texts[0].removeprefix("Are ").removesuffix(" there ?"))
    assert len(set(named)) == len(named) == many


def test_images_are_named_by_file_and_boxes_end_before_their_score(tmp_path: Path) -> None:
    path = lines(tmp_path, item(), item(annot_id="val-1"))
    for example in vcr.read_examples(path, metadata=images(tmp_path)):
        assert example.images == (f"{IMAGE}.jpg",), "img_id counts anew in every split"
        assert example.boxes[2] == (70.0, 1.0, 99.0, 90.0)
        assert len(example.boxes) == len(example.details["objects"]) == 5
        assert example.details["box_scores"][:2] == (0.99, 0.98)
    assert vcr.read_examples(path)[0].boxes == ()


def test_a_blind_test_takes_four_passes(tmp_path: Path) -> None:
    path = lines(tmp_path, blind(), name="test.jsonl")
    (answers,) = vcr.read_examples(path, labelled=False)
    passes = vcr.read_examples(path, "qa_r_blind", labelled=False)
    assert answers.target is None
    assert [(one.id, one.details["annot_id"], one.details["answer"], one.target) for one in passes] == [
        (f"test-0/a{answer}", "test-0", answer, None) for answer in range(4)
    ]
    assert [one.texts[0] for one in passes] == [f"{answers.texts[0]} {answer}" for answer in answers.second_texts]
    with pytest.raises(UsageError, match="no answer_label, so there is no right answer to give"):
        vcr.read_examples(path, "qa_r")
    with pytest.raises(UsageError, match="there is no part 'q_ar': q_a, qa_r, qa_r_blind"):
        vcr.read_examples(path, "q_ar")


def test_the_csv_of_the_leaderboard(tmp_path: Path) -> None:
    answers = {"test-1": [0.1, 0.2, 0.3, 0.4], "test-0": [1.0, 0.0, 0.0, 0.0]}
    rationales = {
        (name, answer): [float(answer), 0.25, 0.0, -1.5] for name in ("test-0", "test-1") for answer in range(4)
    }
    vcr.write_predictions(tmp_path / "out.csv", vcr.joined(answers, rationales))
    header, first, _ = (tmp_path / "out.csv").read_text().splitlines()
    assert header == (
        "annot_id,answer_0,answer_1,answer_2,answer_3,"
        "rationale_conditioned_on_a0_0,rationale_conditioned_on_a0_1,rationale_conditioned_on_a0_2,"
        "rationale_conditioned_on_a0_3,rationale_conditioned_on_a1_0,rationale_conditioned_on_a1_1,"
        "rationale_conditioned_on_a1_2,rationale_conditioned_on_a1_3,rationale_conditioned_on_a2_0,"
        "rationale_conditioned_on_a2_1,rationale_conditioned_on_a2_2,rationale_conditioned_on_a2_3,"
        "rationale_conditioned_on_a3_0,rationale_conditioned_on_a3_1,rationale_conditioned_on_a3_2,"
        "rationale_conditioned_on_a3_3"
    )
    assert first == "test-1,0.1,0.2,0.3,0.4," + ",".join(f"{answer}.0,0.25,0.0,-1.5" for answer in range(4))
    del rationales["test-0", 2]
    with pytest.raises(DataError, match=r"1 scores of rationales are missing, .*: test-0 given answer 2"):
        vcr.joined(answers, rationales)


def csv_text(*rows: tuple[str, list[float]], turned: bool = False) -> str:
    groups = ["answer", *(f"rationale_conditioned_on_a{answer}" for answer in range(4))]
    columns = [f"{group}_{choice}" for group in groups for choice in range(4)]
    if turned:
        columns, rows = columns[::-1], tuple((name, numbers[::-1]) for name, numbers in rows)
    body = [",".join([name, *map(str, numbers)]) for name, numbers in rows]
    return "\n".join([",".join(["annot_id", *columns]), *body]) + "\n"


RIGHT = [0, 1, 0, 0, *[9, 0, 0, 0], *[0, 0, 0, 1], *[9, 0, 0, 0], *[9, 0, 0, 0]]
"""Answer 1; of its rationales the last."""
TIED = [0, 1, 1, 0, *[9, 0, 0, 0], *[0, 0, 0, 1], *[9, 0, 0, 0], *[9, 0, 0, 0]]
ANSWER_ALONE = [0, 1, 0, 0, *[0, 0, 0, 9], *[1, 0, 0, 0], *[0, 0, 0, 9], *[0, 0, 0, 9]]


@pytest.mark.parametrize("turned", [False, True])
def test_three_scores_worked_by_hand(tmp_path: Path, capsys: pytest.CaptureFixture[str], turned: bool) -> None:
    truth = lines(tmp_path, *(item(annot_id=f"val-{number}") for number in range(4)))
    rows = [("val-2", ANSWER_ALONE), ("val-0", RIGHT), ("val-3", RIGHT), ("val-1", TIED)]
    (tmp_path / "out.csv").write_text(csv_text(*map(tuple, rows), turned=turned))  # type: ignore[arg-type]
    assert main(["score", "vcr", str(tmp_path / "out.csv"), str(truth), "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert shown == {"q_a": 0.75, "qa_r": 0.75, "q_ar": 0.5, "n": 4, "ignored": 0}


def test_answers_and_rationales_meet_by_annot_id_not_by_order() -> None:
    labels = {"val-0": (0, 1), "val-1": (1, 0)}
    answers = {"val-0": [1, 0, 0, 0], "val-1": [1, 0, 0, 0]}
    rationales = {"val-1": [1, 0, 0, 0], "val-0": [0, 1, 0, 0]}
    assert vcr.metrics(answers, rationales, labels).to_dict() == {
        "q_a": 0.5,
        "qa_r": 1.0,
        "q_ar": 0.5,
        "n": 2,
        "ignored": 0,
    }


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([item(question=["Is", [5], "?"])], "annot_id val-0 has a question that names the object 5, .* objects 0 to 4"),
        ([item(question=["Is", [-1], "?"])], "names the object -1"),
        ([item(question=["Is", [True], "?"])], "names the object True"),
        ([item(question=["Is", [], "?"])], "neither a word nor a list of objects"),
        ([item(question="Is it?")], "has a question that is no list of words and tags"),
        ([item(answer_choices=[["a"]] * 3)], "has not four answer_choices and four rationale_choices"),
        ([item(rationale_choices=[["a"], ["b"], ["c"], [[9]]])], "has a choice that names the object 9"),
        ([item(), item()], "row 2: annot_id val-0 stands in row 1, too"),
        ([item(), item(annot_id="train-0")], "row 2: annot_id train-0 is of another split than val"),
        ([item(answer_label=4)], "has no answer_label from 0 to 3"),
        ([item(rationale_label=None)], "has no rationale_label from 0 to 3"),
        ([item(img_fn="../../etc/passwd")], "no img_fn that names a file below the folder of images"),
        ([item(metadata_fn="/etc/passwd")], "no metadata_fn below the folder of images"),
        ([item(metadata_fn="absent.json")], "metadata that cannot be read"),
        ([item(objects=["person"] * 6)], "has 6 objects, and .* 5 boxes"),
    ],
)
def test_bad_items_are_named(tmp_path: Path, rows: list[dict[str, Any]], message: str) -> None:
    with pytest.raises(InterBertError, match=message):
        vcr.read_examples(lines(tmp_path, *rows), metadata=images(tmp_path))


def test_labels_of_the_wrong_kind_of_file_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"row 1: .* a test file must have none"):
        vcr.read_examples(lines(tmp_path, item()), labelled=False)
    with pytest.raises(DataError, match=r"row 1: .* has no answer_label, which training and evaluation need"):
        vcr.read_examples(lines(tmp_path, blind()), labelled=True)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (csv_text(("val-0", RIGHT), ("val-0", RIGHT)), "row 3: annot_id val-0 stands in a row before"),
        (csv_text(("val-0", RIGHT[:-1])), "row 2: has 20 fields, the first row has 21"),
        (csv_text(("val-0", RIGHT)).replace("answer_3", "answer_4"), "missing or surplus: answer_3, answer_4"),
        (csv_text(("val-0", [float("nan"), *RIGHT[1:]])), "row 2: annot_id val-0: answer_0 is no number"),
        (csv_text(("val-7", RIGHT)), r"no prediction for 1 of 1 annot_ids of .*: val-0"),
        (csv_text(("val-0", RIGHT), ("test-0", RIGHT)), "1 of its predictions are of no annot_id"),
        (csv_text(), "holds no predictions"),
    ],
)
def test_bad_csvs_are_named(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "out.csv").write_text(text)
    with pytest.raises(InterBertError, match=message):
        vcr.score_files(tmp_path / "out.csv", lines(tmp_path, item()))
