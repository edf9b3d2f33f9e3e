"""Flickr30K Entities: phrases in brackets, boxes in XML, both protocols for phrases with several boxes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from interbert.cli.main import main
from interbert.errors import InterBertError
from interbert.vl_tasks import flickr_entities
from interbert.vl_tasks.left_out import LeftOut

SENTENCES = """[/EN#1/people Two young guys] with [/EN#2/bodyparts shaggy hair] look at [/EN#0/notvisual the other] .
A man in [/EN#3/clothing/other a blue shirt] stands in [/EN#8/scene the garden] with [/EN#1/people friends] .
"""
ANNOTATIONS = """<?xml version="1.0" encoding="UTF-8"?>
<annotation>
  <filename>1000092795.jpg</filename>
  <size><width>333</width><height>500</height><depth>3</depth></size>
  <object><name>1</name><bndbox><xmin>11</xmin><ymin>21</ymin><xmax>21</xmax><ymax>31</ymax></bndbox></object>
  <object><name>1</name><name>3</name>
    <bndbox><xmin>31</xmin><ymin>21</ymin><xmax>41</xmax><ymax>31</ymax></bndbox></object>
  <object><name>0</name><bndbox><xmin>1</xmin><ymin>1</ymin><xmax>9</xmax><ymax>9</ymax></bndbox></object>
  <object><name>2</name><nobndbox>1</nobndbox><scene>0</scene></object>
  <object><name>8</name><scene>1</scene><nobndbox>0</nobndbox></object>
</annotation>
"""


def folder_of(
    folder: Path, sentences: str = SENTENCES, annotations: str = ANNOTATIONS, images: str = "1000092795\n"
) -> Path:
    for name in ("Sentences", "Annotations"):
        (folder / name).mkdir(exist_ok=True)
    (folder / "Sentences" / "1000092795.txt").write_text(sentences, encoding="utf-8")
    (folder / "Annotations" / "1000092795.xml").write_text(annotations, encoding="utf-8")
    (folder / "test.txt").write_text(images)
    return folder


def test_phrases_with_their_boxes(tmp_path: Path) -> None:
    passed = list[LeftOut]()
    found = flickr_entities.read_examples(folder_of(tmp_path), "test", passed)
    assert [(one.id, one.texts[0], one.details["types"], one.details["first_word"]) for one in found] == [
        ("1000092795#0#0", "Two young guys", ("people",), 0),
        ("1000092795#1#0", "a blue shirt", ("clothing", "other"), 3),
        ("1000092795#1#2", "friends", ("people",), 11),
    ]
    assert found[0].target == ((10.0, 20.0, 20.0, 30.0), (30.0, 20.0, 40.0, 30.0)), "the first pixel of the XML is 1"
    assert found[1].target == ((30.0, 20.0, 40.0, 30.0),), "a box of two entities"
    assert found[2].target == found[0].target, "ids run through the sentences"
    assert found[1].details["sentence"] == "A man in a blue shirt stands in the garden with friends ."
    assert found[0].images == ("1000092795",)
    assert [(one.id, one.row, one.reason) for one in passed] == [
        ("1000092795#0#1", 1, "without a box"),
        ("1000092795#0#2", 1, "nothing that can be seen"),
        ("1000092795#1#1", 2, "without a box"),
    ]


def predictions_file(folder: Path, boxes: dict[str, list[list[float]]]) -> Path:
    rows = [{"id": f"1000092795#{name}", "boxes": each} for name, each in boxes.items()]
    (folder / "out.jsonl").write_text("\n".join(map(json.dumps, rows)))
    return folder / "out.jsonl"


def test_recall_by_both_protocols_worked_by_hand(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Around both boxes of the guys is 10, 20, 40, 30; half of it is just enough."""
    boxes: dict[str, list[list[float]]] = {
        "0#0": [[10, 20, 20, 30]],  # one of two boxes: a third of the box around both
        "1#0": [[0, 0, 5, 5], [30, 20, 35, 30]],  # the second is half of the box
        "1#2": [[10, 20, 25, 30]],  # half of the box around both, two thirds of the union with one
        "0#2": [[1, 1, 2, 2]],  # of what is not visual
    }
    predictions = predictions_file(folder_of(tmp_path), boxes)
    for truths in ([str(tmp_path)], [str(tmp_path), str(tmp_path / "test.txt")]):
        assert main(["score", "flickr-entities", str(predictions), *truths, "--json"]) == 0
        shown = json.loads(capsys.readouterr().out)
        assert shown == {
            "r@1": pytest.approx(1 / 3),
            "r@5": pytest.approx(2 / 3),
            "r@10": pytest.approx(2 / 3),
            "any_r@1": pytest.approx(2 / 3),
            "any_r@5": 1.0,
            "any_r@10": 1.0,
            "n": 3,
            "left_out": 3,
            "ignored": 0,
        }


def test_only_ten_boxes_count(tmp_path: Path) -> None:
    examples = flickr_entities.read_examples(folder_of(tmp_path), "test", [])
    boxes = {one.id: [(0.0, 0.0, 1.0, 1.0)] * 10 + [one.target[0]] for one in examples}
    assert flickr_entities.metrics(boxes, examples).to_dict()["any_r@10"] == 0.0
    none = {one.id: () for one in examples}
    assert flickr_entities.metrics(none, examples).to_dict()["r@1"] == 0.0


def test_predictions_are_written_and_read(tmp_path: Path) -> None:
    boxes = {"1#0#0": ((0.0, 1.0, 2.0, 3.5), (1.0, 1.0, 2.0, 2.0)), "1#0#1": ()}
    flickr_entities.write_predictions(tmp_path / "out.jsonl", boxes)
    first = (tmp_path / "out.jsonl").read_text().splitlines()[0]
    assert json.loads(first) == {"id": "1#0#0", "boxes": [[0.0, 1.0, 2.0, 3.5], [1.0, 1.0, 2.0, 2.0]]}
    assert flickr_entities.read_predictions(tmp_path / "out.jsonl") == boxes


BOMB = '<!DOCTYPE a [<!ENTITY b "bb"><!ENTITY c "&b;&b;">]><annotation><object><name>&c;</name></object></annotation>'


@pytest.mark.parametrize(
    ("sentences", "annotations", "images", "message"),
    [
        (SENTENCES, ANNOTATIONS, "../secret\n", "row 1: '../secret' is no id of an image"),
        (SENTENCES, ANNOTATIONS, "1000092795\n1000092795\n", "row 2: image 1000092795 stands in a line before"),
        (SENTENCES, ANNOTATIONS, "1000092795\n7\n", r"7\.xml: there is no such file of boxes"),
        (SENTENCES.replace("hair]", "hair"), ANNOTATIONS, "1000092795\n", "row 1: has a phrase that is not written as"),
        (SENTENCES, ANNOTATIONS[:-20], "1000092795\n", "cannot be read as boxes"),
        (SENTENCES, ANNOTATIONS.replace("<xmin>11<", "<xmin>x<"), "1000092795\n", "cannot be read as boxes"),
        (SENTENCES, ANNOTATIONS.replace("<xmin>11<", "<xmin>91<"), "1000092795\n", "a box with the corners"),
        (SENTENCES, BOMB, "1000092795\n", "defines a document type or entities, which are not read"),
    ],
)
def test_bad_files_are_named(tmp_path: Path, sentences: str, annotations: str, images: str, message: str) -> None:
    with pytest.raises(InterBertError, match=message):
        flickr_entities.read_examples(folder_of(tmp_path, sentences, annotations, images), "test")


@pytest.mark.parametrize(
    ("boxes", "message"),
    [
        ({"0#0": [[1, 1, 2, 2]]}, "no prediction for 2 of 3 phrases"),
        ({"0#0": [[1, 1, 2]]}, "row 1: 1000092795#0#0: its boxes are no list"),
        ({"0#0": [[5, 1, 2, 2]]}, "row 1: 1000092795#0#0: its boxes are no list"),
        ({"0#0": [], "1#0": [], "1#2": [], "4#0": []}, "1 of its predictions are of no phrase"),
    ],
)
def test_bad_predictions_are_named(tmp_path: Path, boxes: dict[str, list[list[float]]], message: str) -> None:
    with pytest.raises(InterBertError, match=message):
        flickr_entities.score_files(predictions_file(folder_of(tmp_path), boxes), tmp_path)
