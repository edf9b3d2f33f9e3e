"""``interbert predict``: tables in, answers with probabilities out."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from tests.vl_tasks.made import BOXES, write_store

from interbert import (
    InterBertForMultipleChoice,
    InterBertForRegionChoice,
    InterBertForSequenceClassification,
    InterBertProcessor,
)
from interbert.checkpoints.directory import load_classifier, load_processor, load_with_head
from interbert.cli.main import main
from interbert.vl_tasks.example import Example
from interbert.vl_tasks.heads import LabelHead
from interbert.vl_tasks.prediction_files import write_table
from interbert.vl_tasks.settings import TaskSettings
from interbert.vl_tasks.task import Prediction

TEXTS = ("a fine film", "a much longer text about nothing at all", "dull")


@pytest.fixture(scope="module")
def classifier(vl_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A classifier of texts, as ``finetune classification`` leaves one."""
    out = tmp_path_factory.mktemp("models") / "tone"
    torch.manual_seed(1)
    load_classifier(vl_model, ["bad", "good", "mixed"]).save_pretrained(out)
    load_processor(vl_model).save_pretrained(out)
    (out / "provenance.json").write_text(json.dumps({"recipe": {"text": "sentence", "image_column": None}}))
    return out


def table(folder: Path, kind: str) -> Path:
    rows = [{"key": f"r{row}", "sentence": text} for row, text in enumerate(TEXTS)]
    path = folder / f"in.{kind}"
    if kind == "jsonl":
        path.write_text("".join(json.dumps(one) + "\n" for one in rows))
    elif kind == "csv":
        path.write_text("key,sentence\n" + "".join(f"{one['key']},{one['sentence']}\n" for one in rows))
    else:
        import pyarrow as pa

        pq.write_table(pa.Table.from_pylist(rows), path)
    return path


def rows_of(path: Path) -> list[dict]:
    if path.suffix == ".jsonl":
        return [json.loads(line) for line in path.read_text().splitlines()]
    flat = pq.read_table(path).to_pylist() if path.suffix == ".parquet" else list(csv.DictReader(path.open()))
    return [one | {"answers": json.loads(one["answers"]), "probability": float(one["probability"])} for one in flat]


@pytest.mark.parametrize("kind", ["jsonl", "csv", "parquet"])
def test_a_classifier_predicts_every_form(classifier: Path, tmp_path: Path, kind: str, float32: None) -> None:
    out = tmp_path / f"out.{kind}"
    words = ["predict", str(classifier), str(table(tmp_path, kind)), str(out), "--id-column", "key"]
    assert main(words) == 0
    model = InterBertForSequenceClassification.from_pretrained(classifier).eval()
    processor = InterBertProcessor.from_pretrained(classifier)
    with torch.no_grad():
        wanted = model(**processor(text=list(TEXTS))).logits.softmax(dim=1).numpy()
    found = rows_of(out)
    assert [one["id"] for one in found] == ["r0", "r1", "r2"]
    labels = ["bad", "good", "mixed"]
    for one, row in zip(found, wanted, strict=True):
        assert one["answer"] == labels[row.argmax()]
        said = {each["answer"]: each["probability"] for each in one["answers"]}
        assert [said[label] for label in labels] == pytest.approx(row.tolist(), abs=1e-5)
    assert main(words) == 0  # its own file is replaced


def test_nothing_else_is_replaced(classifier: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = table(tmp_path, "csv")
    assert main(["predict", str(classifier), str(source), str(source)]) == 2
    assert "is named by FILE and OUT. Name two files." in capsys.readouterr().err
    other = tmp_path / "other.csv"
    other.write_bytes(source.read_bytes())
    assert main(["predict", str(classifier), str(source), str(other)]) == 2
    assert "is not predictions of a table" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("content", "more", "message"),
    [
        ("key,sentence\na,\n", [], "row 0: 'sentence' is empty"),
        ("key,sentence\na,b\na,c\n", ["--id-column", "key"], "id 'a' stands in row 0, too"),
        ("key,words\na,b\n", [], "there is no column 'sentence'"),
        ("key,sentence\na,b\n", ["--task", "vqa"], "was fine-tuned for no vision-and-language task"),
        ("key,sentence\na,b\n", ["--image-column", "key"], "reads 0 images a row"),
    ],
)
def test_bad_tables_are_named(
    classifier: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], content: str, more: list[str], message: str
) -> None:
    (tmp_path / "in.csv").write_text(content)
    assert main(["predict", str(classifier), str(tmp_path / "in.csv"), str(tmp_path / "out.csv"), *more]) == 2
    assert message in capsys.readouterr().err


def test_a_pretrained_model_has_nothing_to_predict(
    vl_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["predict", str(vl_model), str(table(tmp_path, "csv")), str(tmp_path / "out.csv")]) == 2
    assert "is no classifier and was fine-tuned for no vision-and-language task" in capsys.readouterr().err


def test_the_most_probable_answers_come_first(tmp_path: Path) -> None:
    said = Prediction("b", np.array([0.1, 0.6, 0.3], dtype=np.float32), np.zeros((0, 4), np.float32))
    write_table(tmp_path / "o.jsonl", [Example("7", (), ("x",))], [said], LabelHead(["a", "b", "c"], False, 1), 2)
    (row,) = rows_of(tmp_path / "o.jsonl")
    assert row["answers"] == [{"answer": "b", "probability": 0.6}, {"answer": "c", "probability": 0.3}]


def test_images_and_pairs_are_classified_from_a_store(tmp_path: Path, vl_model: Path) -> None:
    store = write_store(tmp_path / "store", {"a.jpg": ["red"], "b.jpg": ["blue"]})
    out = tmp_path / "m"
    torch.manual_seed(1)
    load_classifier(vl_model, ["x", "y"]).save_pretrained(out)
    load_processor(vl_model).save_pretrained(out)
    (out / "provenance.json").write_text(json.dumps({"recipe": {"text": None, "image_column": "photo"}}))
    (tmp_path / "in.csv").write_text("photo\nb.jpg\na\n")
    words = ["predict", str(out), str(tmp_path / "in.csv"), str(tmp_path / "out.jsonl"), "--regions", str(store)]
    assert main(words) == 0
    found = rows_of(tmp_path / "out.jsonl")
    assert [one["id"] for one in found] == ["0", "1"]
    assert found[0]["probability"] != found[1]["probability"]


def saved(folder: Path, start: Path, head: type, settings: TaskSettings) -> Path:
    """An untrained model of a task."""
    torch.manual_seed(1)
    load_with_head(head, start, vl_task=settings.to_dict()).save_pretrained(folder)
    load_processor(start).save_pretrained(folder)
    return folder


def test_choices_of_a_row_are_weighed(vl_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    store = str(write_store(tmp_path / "store", {"a": ["red"]}))
    model = saved(tmp_path / "m", vl_model, InterBertForMultipleChoice, TaskSettings("vcr"))
    rows = [{"question": "what", "image": "a", "texts": ["red", "blue"]}]
    rows += [{"question": "what", "image": "a", "texts": json.dumps(["red", "blue", "green"])}]
    (tmp_path / "in.jsonl").write_text("".join(json.dumps(one | {"texts": str(one["texts"])}) + "\n" for one in rows))
    words = ["predict", str(model), str(tmp_path / "in.jsonl"), str(tmp_path / "out.jsonl"), "--regions", store]
    words += ["--text", "question"]
    assert main(words) == 2
    assert "name their column with --choices-column" in capsys.readouterr().err
    assert main([*words, "--choices-column", "texts"]) == 2
    assert "row 0: 'texts' is no JSON list of texts" in capsys.readouterr().err
    rows[0]["texts"] = json.dumps(rows[0]["texts"])
    (tmp_path / "in.jsonl").write_text("".join(json.dumps(one) + "\n" for one in rows))
    assert main([*words, "--choices-column", "texts"]) == 0
    found = rows_of(tmp_path / "out.jsonl")
    assert [sorted(each["answer"] for each in one["answers"]) for one in found] == [[0, 1], [0, 1, 2]]
    assert sum(each["probability"] for each in found[1]["answers"]) == pytest.approx(1, abs=1e-4)


def test_a_region_is_answered_as_its_box(vl_model: Path, tmp_path: Path) -> None:
    store = str(write_store(tmp_path / "store", {"a": ["red", "blue"]}))
    model = saved(tmp_path / "m", vl_model, InterBertForRegionChoice, TaskSettings("refcoco"))
    (tmp_path / "in.csv").write_text("text,image\nthe red one,a\n")
    out = tmp_path / "out.csv"
    assert main(["predict", str(model), str(tmp_path / "in.csv"), str(out), "--regions", store, "--top", "1"]) == 0
    (one,) = rows_of(out)
    assert json.loads(one["answer"]) in [list(BOXES[0]), list(BOXES[1])]
    assert len(one["answers"]) == 1
