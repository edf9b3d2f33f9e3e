"""Options and files that do not fit a task: one line says so before anything is trained, and no number is made."""

from __future__ import annotations

import json
import pickle
from pathlib import Path

import pytest
from tests.vl_tasks.made import scenes, write_json, write_lines, write_store
from tests.vl_tasks.test_finetune_regions import vcr_folder

from interbert.cli.main import main
from interbert.curation.overlap_sources import Asked, keys_of, read_source
from interbert.errors import ConfigError, DataError, SourceError
from interbert.vl_tasks import gqa, refcoco, vcr, vqa
from interbert.vl_tasks.finetune import read_splits
from interbert.vl_tasks.multitask import task_recipes
from interbert.vl_tasks.options import FinetuneMultitaskOptions, FinetuneTaskOptions
from interbert.vl_tasks.task import find_task

LONG = "9" * 5000
"""More digits than Python makes a number of."""


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Official files and a store of a few scenes."""
    folder = tmp_path_factory.mktemp("inputs")
    images = scenes(8)
    pairs = [
        {"pairID": f"{image}.jpg#1", "Flickr30K_ID": image, "sentence2": "It is red.", "gold_label": label}
        for image, label in zip(images, ["neutral", "entailment"] * 4, strict=True)
    ]
    write_lines(folder / "ve.jsonl", pairs)
    write_lines(folder / "undecided.jsonl", [one | {"gold_label": "-"} for one in pairs])
    lines = [{"identifier": f"{number}-0", "sentence": "They are alike.", "label": "true"} for number in range(4)]
    write_lines(folder / "dev.json", lines)
    pair = [{"identifier": f"dev-{number}-0-0", "sentence": "They are alike.", "label": "True"} for number in range(4)]
    write_lines(folder / "pairs.json", pair)
    write_json(folder / "labels.json", ["this", "that"])
    write_json(folder / "gqa.json", {"1": {"question": "What is it?", "imageId": "100", "answer": "red"}})
    write_store(folder / "store", images)
    return folder


@pytest.mark.parametrize(
    ("task", "source", "more", "message"),
    [
        ("snli-ve", "ve.jsonl", "--validation-split dev", "Name it with --validation."),
        ("snli-ve", "ve.jsonl", "--validation-annotations x", "Name it with --validation."),
        ("snli-ve", "ve.jsonl", "--annotations x", "x: snli-ve has no second file"),
        ("snli-ve", "ve.jsonl", "--split test", "a file of snli-ve is one split, so 'test' cannot be chosen"),
        ("snli-ve", "ve.jsonl", "--labels labels.json", "its labels are contradiction, neutral, entailment"),
        ("refcoco", "refcoco", "--labels labels.json", "refcoco takes no list of answers: it has no labels"),
        ("vqa", "q.json", "--annotations a.json --validation v.json", "with --validation-annotations"),
        ("nlvr2", "dev.json", "", "example dev-0-0-0 is of 1 images, and nlvr2 reads 2"),
        ("nlvr", "pairs.json", "", "example dev-0-0-0 is of 2 images, and nlvr reads 1"),
    ],
)
def test_what_a_task_would_pass_over_is_refused_before_training(
    vl_model: Path,
    made: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    task: str,
    source: str,
    more: str,
    message: str,
) -> None:
    monkeypatch.chdir(made)
    words = ["finetune", task, str(vl_model), source, str(tmp_path / "m"), "--regions", "store", *more.split()]
    assert main(words) == 2
    error = capsys.readouterr().err
    assert message in error
    assert len(error.strip().splitlines()) == 1


def test_validating_on_what_is_trained_on_is_said(made: Path, caplog: pytest.LogCaptureFixture) -> None:
    file = str(made / "ve.jsonl")
    options = FinetuneTaskOptions("m", file, "o", validation=file, text_only=True)
    caplog.set_level("WARNING", logger="interbert")
    read_splits(find_task("snli-ve"), options)
    assert "8 of its 8 examples, such as 100.jpg#1, are among those of" in caplog.text


def test_a_list_of_answers_without_a_right_one_is_named(
    vl_model: Path, made: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    questions = {str(number): {"question": "?", "imageId": str(100 + number), "answer": "red"} for number in range(8)}
    file, labels = write_json(tmp_path / "q.json", questions), str(made / "labels.json")
    words = ["finetune", "gqa", str(vl_model), str(file), str(tmp_path / "m"), "--labels", labels]
    assert main([*words, "--regions", str(made / "store"), "--validation-share", "0.3"]) == 2
    assert f"{labels}: lists no answer of a training example" in capsys.readouterr().err


def test_ids_that_become_numbers_are_numbers(tmp_path: Path) -> None:
    rows = [{"question_id": LONG, "image_id": 1, "question": "What?"}]
    with pytest.raises(DataError, match=r"row 1: question_id '9+' is no whole number of at most 18 digits"):
        vqa.read_examples(write_json(tmp_path / "q.json", {"questions": rows}))
    assert vqa.image_names(LONG) == ()
    assert keys_of([LONG, f"COCO_val2014_{LONG}"], "coco", {}) == (f"coco/{LONG}", f"coco/COCO_val2014_{LONG}")
    objects = [{"id": 1, "image_id": 9, "bbox": [0, 0, 9, 9], "category_id": 1}]
    write_json(tmp_path / "instances.json", {"images": [{"id": 9, "file_name": "a.jpg"}], "annotations": objects})
    ref = {"ref_id": 1, "ann_id": 1, "image_id": 9, "split": "val", "sentences": [{"sent_id": "s5", "sent": "x"}]}
    (tmp_path / "refs(unc).p").write_bytes(pickle.dumps([ref], protocol=2))
    with pytest.raises(DataError, match="row 1: ref_id 1 has the sent_id 's5', which is no whole number"):
        refcoco.read_examples(tmp_path)


def test_a_group_of_gqa_that_is_no_text_is_none_and_balance_is_said_plainly(tmp_path: Path) -> None:
    one = {"question": "What?", "imageId": "1", "answer": "red", "groups": {"global": [1]}}
    file = write_json(tmp_path / "q.json", {"1": one})
    predictions = write_json(tmp_path / "p.json", [{"questionId": "1", "prediction": "red"}])
    assert gqa.score_files(predictions, file).to_dict()["distribution"] is None
    write_json(file, {"1": one | {"isBalanced": "false"}})
    with pytest.raises(DataError, match="row 1: question 1: its isBalanced is neither true nor false"):
        gqa.read_examples(file)


def test_a_score_of_a_box_beyond_all_numbers_is_none(tmp_path: Path) -> None:
    file = vcr_folder(tmp_path, {"100": ["red"]})
    (tmp_path / "100.json").write_text('{"boxes": [[0, 0, 9, 9, ' + "9" * 400 + "]]}")
    (one,) = vcr.read_examples(file, metadata=tmp_path)
    assert one.details["box_scores"] == (1.0,)


def test_a_file_in_which_nobody_agreed_has_no_score(
    made: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    said = write_lines(tmp_path / "p.jsonl", [{"pairID": "100.jpg#1", "label": "neutral"}])
    assert main(["score", "snli-ve", str(said), str(made / "undecided.jsonl")]) == 2
    assert "all of its 8 pairs are without a label" in capsys.readouterr().err


def test_a_table_is_not_replaced_by_its_predictions(
    vl_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = write_lines(tmp_path / "t.jsonl", [{"id": "1", "answer": "red", "probability": 0.5, "answers": []}])
    assert main(["predict", str(vl_model), str(file), str(file), "--text", "answer"]) == 2
    assert "is named by FILE and OUT" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("recipe", "message"),
    [
        ({"regions": "store"}, "regions cannot be 'store'.*--regions, a list"),
        ({"boxes": "all"}, "boxes cannot be 'all'"),
        ({"text_only": "no"}, "text_only cannot be 'no'"),
        ({"min_answers": 1.5}, "min_answers cannot be 1.5"),
        ({"validation": 3}, "validation cannot be 3"),
        ({1: 2}, "has no option '1'"),
    ],
)
def test_recipes_of_several_tasks_have_values_of_their_types(tmp_path: Path, recipe: dict, message: str) -> None:
    lines = [f"{name}: {json.dumps(value)}\n" for name, value in ({"source": "x"} | recipe).items()]
    (tmp_path / "r.yaml").write_text("".join(lines))
    options = FinetuneMultitaskOptions("m", "o", [f"vqa={tmp_path / 'r.yaml'}", f"gqa={tmp_path / 'r.yaml'}"])
    with pytest.raises(ConfigError, match=message):
        task_recipes(options)


def test_sources_of_an_overlap_are_tasks_and_splits_that_there_are(made: Path) -> None:
    with pytest.raises(SourceError, match=r"there is no task 'vqa2'\. Tasks: vqa, gqa"):
        read_source(Asked("vqa2=questions.json"), {}, False)
    for source in (f"snli-ve={made / 've.jsonl'}", str(made / "store")):
        with pytest.raises(SourceError, match="is one split, so 'val' cannot be chosen of it"):
            read_source(Asked(source, split="val"), {}, False)
    with pytest.raises(SourceError, match="one of the files"):
        read_source(Asked(f"refcoco+={made}"), {}, False)
