"""Real samples of the official files, where they are at hand."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from interbert.vl_tasks import gqa, nlvr, snli_ve, vqa
from interbert.vl_tasks.example import Example
from interbert.vl_tasks.vqa_answers import normalised

TASKS = Path(__file__).parents[2] / ".." / "shared" / "data" / "tasks"
pytestmark = pytest.mark.skipif(not TASKS.is_dir(), reason="needs samples in ../shared/data/tasks")


def images_of(examples: Sequence[Example], folder: Path) -> set[str]:
    """Files of the images of examples, by one of their names."""
    there = {file.stem: file.name for file in folder.rglob("*") if file.is_file()}
    named = [
        (image, *(one.details["image_names"][place] if "image_names" in one.details else ()))
        for one in examples
        for place, image in enumerate(one.images)
    ]
    return {next((there[name] for name in names if name in there), f"no {names}") for names in named}


def test_vqa(tmp_path: Path) -> None:
    folder = TASKS / "vqa_v2"
    answers = vqa.read_answers(folder / "trainval_label2ans.json")
    assert len(answers) == 3129
    assert [normalised(one) for one in answers] == answers, "a model can give no other than normalised answers"
    examples = vqa.read_examples(folder / "questions.json", folder / "annotations.json", answers)
    assert examples[0].target == {
        "net": 1.0,
        **{one: score for one, score in examples[0].target.items() if one != "net"},
    }  # type: ignore[union-attr]
    assert images_of(examples, folder / "images") == {"COCO_train2014_000000458752.jpg"}
    best = {one.id: max(one.target, key=one.target.get) for one in examples}  # type: ignore[arg-type]
    vqa.write_predictions(tmp_path / "out.json", best)
    found = vqa.score_files(tmp_path / "out.json", folder / "annotations.json", folder / "questions.json").to_dict()
    assert (found["n"], found["accuracy"]) == (3, 1.0)


def test_gqa(tmp_path: Path) -> None:
    for name in ("questions.json", "questions0.json", "questions1.json"):
        examples = gqa.read_examples(TASKS / "gqa" / name)
        assert examples
        assert not any(file.startswith("no ") for file in images_of(examples, TASKS / "gqa" / "images"))
    with_balanced = TASKS / "gqa" / "questions0.json"
    answers = {one.id: next(iter(one.target)) for one in gqa.read_examples(with_balanced)}  # type: ignore[arg-type]
    gqa.write_predictions(tmp_path / "out.json", answers)
    found = gqa.score_files(tmp_path / "out.json", with_balanced).to_dict()
    assert (found["accuracy"], found["distribution"]) == (1.0, 0.0)


@pytest.mark.parametrize(("task", "name", "count"), [("nlvr2", "dev.json", 6982), ("nlvr1", "dev.json", 989 * 6)])
def test_nlvr(tmp_path: Path, task: str, name: str, count: int) -> None:
    examples = nlvr.read_examples(TASKS / task / name)
    assert len(examples) == count
    sentences = defaultdict(set)
    for one in examples:
        sentences[one.details["group"]].add(one.texts)
    assert all(len(each) == 1 for each in sentences.values()), "a group is of one sentence"
    nlvr.write_predictions(tmp_path / "out.csv", {one.id: "True" for one in examples}, drawings=task == "nlvr1")
    found = nlvr.score_files(tmp_path / "out.csv", TASKS / task / name).to_dict()
    true = sum(one.target == {"True": 1.0} for one in examples)
    assert found["accuracy"] == pytest.approx(true / count)


@pytest.mark.parametrize(
    ("read", "folder"),
    [
        (lambda folder: nlvr.read_examples(folder / "tiny-dev.json", "dev"), "nlvr2"),
        (lambda folder: snli_ve.read_examples(folder / "sample_pairs.jsonl"), "snli_ve"),
    ],
)
def test_images_of_samples_are_found_by_their_names(read: Callable[[Path], list[Example]], folder: str) -> None:
    examples = read(TASKS / folder)
    assert examples
    assert not [file for file in images_of(examples, TASKS / folder / "images") if file.startswith("no ")]


def test_snli_ve(tmp_path: Path) -> None:
    examples = snli_ve.read_examples(TASKS / "snli_ve" / "sample_pairs.jsonl")
    snli_ve.write_predictions(tmp_path / "out.jsonl", {one.id: "neutral" for one in examples})
    found = snli_ve.score_files(tmp_path / "out.jsonl", TASKS / "snli_ve" / "sample_pairs.jsonl").to_dict()
    assert (found["n"], found["accuracy"], found["accuracy_neutral"]) == (16, 6 / 16, 1.0)


def test_images_of_drawings_are_found(tmp_path: Path) -> None:
    there = {file.stem for file in (TASKS / "nlvr1" / "images").rglob("*.png")}
    named = {one.images[0] for one in nlvr.read_examples(TASKS / "nlvr1" / "dev.json")}
    assert there
    rows = [json.loads(line) for line in (TASKS / "nlvr1" / "dev.json").read_text().splitlines()]
    identifiers = {row["identifier"] for row in rows}
    of_file = {name for name in there if name.split("-", 1)[1].rsplit("-", 1)[0] in identifiers}
    assert of_file
    assert of_file <= named
