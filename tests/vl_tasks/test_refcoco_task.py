"""RefCOCO: a pickle that is read without being run, boxes as x, y, w, h, splits apart, candidates with a ceiling."""

from __future__ import annotations

import json
import pickle
from pathlib import Path

import pytest

from interbert.cli.main import main
from interbert.errors import InterBertError
from interbert.vl_tasks import refcoco
from interbert.vl_tasks.boxes import iou

# opcodes of protocol 2, typed from the pickle module's list: U short str, X unicode, K byte, M two bytes, J four bytes
_SENTENCES = (
    b"U\tsentences](}(U\x06tokens](U\x04leftU\x03maneU\x03rawU\x08Left manU\x07sent_idK\x05U\x04sentU\x08left manu}("
    b"U\x06tokens]U\x04blueaU\x03rawX\x04\x00\x00\x00blueU\x07sent_idK\x06U\x04sentX\x04\x00\x00\x00blueue"
)
_FIRST = (
    b"}(U\x08sent_ids](K\x05K\x06eU\tfile_nameU\x21COCO_train2014_000000000009_3.jpgU\x06ann_idJ\x2a\x00\x00\x00"
    b"U\x06ref_idK\x00U\x08image_idK\x09U\x05splitU\x05testA" + _SENTENCES + b"U\x0bcategory_idK\x01u"
)
_SECOND = (
    b"}(U\x08sent_ids]K\x07aU\tfile_nameU\x01xU\x06ann_idK+U\x06ref_idK\x01U\x08image_idK\x09U\x05splitU\x05testB"
    b"U\tsentences]}(U\x06tokens]U\x03dogaU\x03rawU\x03dogU\x07sent_idK\x07U\x04sentU\x03doguaU\x0bcategory_idK\x12u"
)
_THIRD = (
    b"}(U\x08sent_ids]M\xe8\x03aU\tfile_nameU\x01xU\x06ann_idK,U\x06ref_idK\x02U\x08image_idK\nU\x05splitU\x03val"
    b"U\tsentences]}(U\x06tokens]U\x03cataU\x03rawU\x03catU\x07sent_idM\xe8\x03U\x04sentU\x03catuaU\x0bcategory_idK\x11u"
)
REFS = b"\x80\x02](" + _FIRST + _SECOND + _THIRD + b"e."
INSTANCES = """{"info": {}, "images": [
 {"file_name": "COCO_train2014_000000000009.jpg", "height": 100, "width": 100, "id": 9},
 {"file_name": "COCO_train2014_000000000010.jpg", "height": 100, "width": 100, "id": 10}],
 "annotations": [{"segmentation": [[1, 2]], "area": 3, "iscrowd": 0, "image_id": 9, "bbox": [10, 20, 30.5, 40], \
"category_id": 1, "id": 42}, {"image_id": 9, "bbox": [0, 0, 10, 10], "category_id": 18, "id": 43},
 {"image_id": 10, "bbox": [5, 5, 10, 20], "category_id": 17, "id": 44}],
 "categories": [{"supercategory": "person", "id": 1, "name": "person"}]}"""


def folder_of(folder: Path, refs: bytes = REFS, instances: str = INSTANCES, name: str = "refs(unc).p") -> Path:
    (folder / name).write_bytes(refs)
    (folder / "instances.json").write_text(instances, encoding="utf-8")
    return folder


def predictions_file(folder: Path, boxes: dict[int, list[float]]) -> Path:
    rows = [{"sent_id": name, "bbox": box} for name, box in boxes.items()]
    (folder / "predictions.json").write_text(json.dumps(rows))
    return folder / "predictions.json"


def test_the_pickle_of_this_test_is_what_python_reads() -> None:
    first, second, third = pickle.loads(REFS)
    assert (first["ann_id"], second["split"], third["sentences"][0]["sent_id"]) == (42, "testB", 1000)
    assert [one["sent"] for one in first["sentences"]] == ["left man", "blue"]


def test_expressions_with_boxes_of_their_image(tmp_path: Path) -> None:
    found = refcoco.read_examples(folder_of(tmp_path))
    assert [(one.id, one.texts[0], one.details["split"]) for one in found] == [
        ("5", "left man", "testA"),
        ("6", "blue", "testA"),
        ("7", "dog", "testB"),
        ("1000", "cat", "val"),
    ]
    assert found[0].target == ((10.0, 20.0, 40.5, 60.0),)
    assert found[0].boxes == ((10.0, 20.0, 40.5, 60.0), (0.0, 0.0, 10.0, 10.0))
    assert found[0].images == ("9",)
    assert found[0].details["image_names"] == (("COCO_train2014_000000000009", "COCO_train2014_000000000009.jpg"),)
    assert "000009_3" not in repr(found), "the file name of a reference is no image file"
    assert [one.id for one in refcoco.read_examples(tmp_path, "testB")] == ["7"]


def test_accuracy_by_split_worked_by_hand(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    boxes = {5: [10, 20, 30.5, 40], 6: [10, 20, 30.5, 20], 7: [0, 0, 10, 6], 1000: [6, 6, 10, 20]}
    predictions = predictions_file(folder_of(tmp_path), boxes)
    assert main(["score", "refcoco", str(predictions), str(tmp_path), "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {
        "accuracy_val": 1.0,
        "accuracy_testA": 0.5,  # the second is half of the box: 0.5 is not above 0.5
        "accuracy_testB": 1.0,
        "n": 4,
        "n_val": 1,
        "n_testA": 2,
        "n_testB": 1,
        "ignored": 0,
    }
    for name in ("refcoco+", "refcocog"):
        assert main(["score", name, str(predictions), str(tmp_path), "--json"]) == 0


def test_one_split_can_be_scored_alone_but_not_a_part_of_it(tmp_path: Path) -> None:
    folder_of(tmp_path)
    assert refcoco.score_files(predictions_file(tmp_path, {7: [0, 0, 1, 1]}), tmp_path).to_dict() == {
        "accuracy_testB": 0.0,
        "n": 1,
        "n_testB": 1,
        "ignored": 0,
    }
    with pytest.raises(InterBertError, match=r"no prediction for 1 of 2 expressions of .*: 6\."):
        refcoco.score_files(predictions_file(tmp_path, {5: [0, 0, 1, 1]}), tmp_path)
    with pytest.raises(InterBertError, match=r"1 of its predictions are of no expression of .*: 8\."):
        refcoco.score_files(predictions_file(tmp_path, {7: [0, 0, 1, 1], 8: [0, 0, 1, 1]}), tmp_path)


def test_boxes_come_back_as_the_official_files_have_them(tmp_path: Path) -> None:
    found = refcoco.read_examples(folder_of(tmp_path), "testA")
    refcoco.write_predictions(tmp_path / "out.json", {one.id: one.target[0] for one in found})
    rows = json.loads((tmp_path / "out.json").read_text())
    assert rows[0] == {"sent_id": 5, "bbox": [10.0, 20.0, 30.5, 40.0]}
    assert refcoco.score_files(tmp_path / "out.json", tmp_path).to_dict()["accuracy_testA"] == 1.0


def test_the_ceiling_of_candidate_boxes(tmp_path: Path) -> None:
    found = refcoco.read_examples(folder_of(tmp_path))
    assert refcoco.ceiling(found) == 1.0
    assert refcoco.ceiling(found, {"9": [(1, 1, 10, 10), (50, 50, 60, 60)]}) == 0.25


def test_areas_have_no_pixel_added() -> None:
    assert iou((0, 0, 2, 2), (1, 1, 3, 3)) == pytest.approx(1 / 7)
    assert iou((0, 0, 2, 2), (2, 0, 4, 2)) == 0.0
    assert iou((0, 0, 0, 0), (0, 0, 0, 0)) == 0.0


def test_a_pickle_that_would_run_something_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InterBertError, match=r"names posix\.system, which is no data; nothing was run"):
        refcoco.read_examples(folder_of(tmp_path, b"cposix\nsystem\n(S'touch ran'\ntR."))
    assert not Path("ran").exists()


def test_references_of_the_wrong_split_are_refused(tmp_path: Path) -> None:
    folder_of(tmp_path, name="refs(google).p")
    with pytest.raises(InterBertError, match=r"has refs\(google\).p alone, whose splits share images"):
        refcoco.read_examples(tmp_path)
    folder_of(tmp_path, name="refs(umd).p")
    assert len(refcoco.read_examples(tmp_path)) == 4
    folder_of(tmp_path)
    with pytest.raises(InterBertError, match="has to be there, and 2 are"):
        refcoco.read_examples(tmp_path)


@pytest.mark.parametrize(
    ("refs", "instances", "message"),
    [
        (REFS.replace(b"K+U", b"K-U"), INSTANCES, r"row 2: ref_id 1 is of object '45', which image 9 of .* has not"),
        (REFS.replace(b"image_idK\n", b"image_idK\x0b"), INSTANCES, r"row 3: ref_id 2 is of image '11'"),
        (REFS.replace(b"testB", b"testC"), INSTANCES, "row 2: ref_id 1 has no split of train, val"),
        (REFS.replace(b"sent_idK\x06", b"sent_idK\x07"), INSTANCES, "row 2: sent_id 7 stands in a reference before"),
        (REFS[:-30], INSTANCES, "is no pickle of references"),
        (b"\x80\x02}.", INSTANCES, "is no list of references"),
        (REFS, INSTANCES.replace("[0, 0, 10, 10]", "[0, 0, -1, 10]"), "row 2: annotation 43 has no bbox"),
        (REFS, INSTANCES.replace('"image_id": 10,', '"image_id": 12,'), "row 3: annotation 44 is of an image"),
        (REFS, INSTANCES.replace('"id": 43', '"id": 42'), "row 2: id 42 stands in row 1, too"),
        (REFS, INSTANCES[:-40], "no whole JSON"),
    ],
)
def test_bad_files_are_named(tmp_path: Path, refs: bytes, instances: str, message: str) -> None:
    with pytest.raises(InterBertError, match=message):
        refcoco.read_examples(folder_of(tmp_path, refs, instances))


@pytest.mark.parametrize(
    "box", ["[1, 2, 3]", "[0, 0, -1, 2]", '["0", 0, 1, 1]', "[0, 0, NaN, 1]", "[0, 0, 1e400, 1]", "3"]
)
def test_boxes_that_are_none_are_named(tmp_path: Path, box: str) -> None:
    (tmp_path / "predictions.json").write_text(f'[{{"sent_id": 7, "bbox": {box}}}]')
    with pytest.raises(InterBertError, match="row 1: sent_id 7: its bbox is no list of numbers"):
        refcoco.score_files(tmp_path / "predictions.json", folder_of(tmp_path))
