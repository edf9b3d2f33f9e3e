"""Tasks whose answers are regions, and choices, through the command line."""

from __future__ import annotations

import json
import pickle
from pathlib import Path

import pytest
from tests.vl_tasks.made import BOXES, FAST, INFO, scenes, write_json, write_lines, write_store

from interbert.cli.main import main
from interbert.regions.store import RegionStore


def evaluated(capsys: pytest.CaptureFixture[str], *words: object) -> dict:
    capsys.readouterr()
    assert main(["evaluate", *map(str, words), "--json", "--bootstrap", "50"]) == 0
    return json.loads(capsys.readouterr().out)


def refcoco_folder(folder: Path, images: dict) -> Path:
    """What RefCOCO's folder has: refs(unc).p and instances.json; one expression an image."""
    refs, annotations = [], []
    for place, (image, scene) in enumerate(images.items()):
        for number, _ in enumerate(scene):
            x1, y1, x2, y2 = BOXES[number]
            box = [x1, y1, x2 - x1, y2 - y1]
            annotations.append({"id": 10 * place + number, "image_id": int(image), "bbox": box, "category_id": 1})
        which = place % len(scene)
        text = f"the {scene[which]} one"
        sentence = {"sent_id": place, "sent": text, "raw": text, "tokens": text.split()}
        split = "train" if place < 0.7 * len(images) else "val"
        one = {"ref_id": place, "ann_id": 10 * place + which, "image_id": int(image), "split": split}
        refs.append(one | {"sentences": [sentence], "category_id": 1, "file_name": "x.jpg", "sent_ids": [place]})
    listed = [{"id": int(image), "file_name": f"COCO_train2014_{int(image):012d}.jpg"} for image in images]
    write_json(folder / "instances.json", {"images": listed, "annotations": annotations, "categories": []})
    (folder / "refs(unc).p").write_bytes(pickle.dumps(refs, protocol=2))
    return folder


def test_refcoco_is_learnt_and_the_ceiling_of_the_candidates_is_said(
    vl_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    images = scenes(360, objects=3)
    folder = refcoco_folder(tmp_path, images)
    given = write_store(tmp_path / "given", images)
    words = ["finetune", "refcoco", str(vl_model), str(folder), str(tmp_path / "m"), "--given-regions", str(given)]
    assert main([*words, *FAST, "--training.epochs", "5"]) == 0
    shown = capsys.readouterr().out
    assert "chance 0.333, ceiling of candidate boxes 1.000" in shown
    found = evaluated(capsys, "refcoco", tmp_path / "m", folder, "--given-regions", given)
    assert found["accuracy_val"] > 0.7
    assert found["boxes"] == "given"
    blind = evaluated(capsys, "refcoco", tmp_path / "m", folder, "--given-regions", given, "--image-control", "mean")
    assert blind["accuracy_val"] < 0.55
    shifted = [[x1 + 25, y1, x2 + 25, y2] for x1, y1, x2, y2 in BOXES]
    shifted[0] = list(BOXES[0])
    detected = write_store(tmp_path / "detected", images, shifted)
    words = ["refcoco", tmp_path / "m", folder, "--regions", detected, "--boxes", "detected"]
    apart = evaluated(capsys, *words)
    assert apart["boxes"] == "detected"
    assert apart["baselines"]["ceiling"] == pytest.approx(1 / 3)
    assert apart["accuracy_val"] <= apart["baselines"]["ceiling"]
    assert main(["evaluate", *map(str, words), "--text-only"]) == 2
    assert "regions cannot be chosen without an image" in capsys.readouterr().err


def vcr_folder(folder: Path, images: dict, labelled: bool = True) -> Path:
    """What VCR's split and its images' metadata have; the rationale repeats the colour."""
    colours = ("red", "blue", "green", "black")
    rows = []
    for place, (image, scene) in enumerate(images.items()):
        write_json(folder / f"{image}.json", {"boxes": [[*BOXES[0], 0.99]], "width": 100, "height": 100})
        order = [colours[(place + step) % 4] for step in range(4)]
        row = {
            "annot_id": f"val-{place}",
            "img_fn": f"{image}.jpg",
            "metadata_fn": f"{image}.json",
            "objects": ["person"],
            "question": ["What", "is", [0], "?"],
            "answer_choices": [[[0], "is", colour] for colour in order],
            "rationale_choices": [["it", "looks", colour] for colour in order],
        }
        if labelled:
            row |= {"answer_label": order.index(scene[0]), "rationale_label": order.index(scene[0])}
        rows.append(row)
    return write_lines(folder / ("val.jsonl" if labelled else "test.jsonl"), rows)


def test_vcr_joins_both_parts_and_writes_four_passes_of_rationales(
    vl_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    images = scenes(20)
    file = vcr_folder(tmp_path, images)
    stores = ["--regions", str(write_store(tmp_path / "detected", images))]
    stores += ["--given-regions", str(write_store(tmp_path / "given", images))]
    words = ["finetune", "vcr", str(vl_model), str(file), str(tmp_path / "m"), "--annotations", str(tmp_path), *stores]
    assert main([*words, "--validation-share", "0.3", *FAST, "--training.max-steps", "2"]) == 0
    assert "chance 0.062" in capsys.readouterr().out
    out = tmp_path / "out.csv"
    words = ["vcr", tmp_path / "m", file, "--annotations", tmp_path, *stores]
    found = evaluated(capsys, *words, "--predictions", out)
    assert max(found["q_a"], found["qa_r"]) >= found["q_ar"] >= 0
    assert found["boxes"] == "both"
    lines = out.read_text().splitlines()
    assert len(lines) == 21
    assert all(len(line.split(",")) == 1 + 20 for line in lines)
    assert main(["score", "vcr", str(out), str(file), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["q_ar"] == pytest.approx(found["q_ar"])
    blind = vcr_folder(tmp_path, images, labelled=False)
    words = ["vcr", tmp_path / "m", blind, "--annotations", tmp_path, *stores]
    assert main(["evaluate", *map(str, words)]) == 2
    assert "has no answers to judge by" in capsys.readouterr().err
    again = tmp_path / "blind.csv"
    assert "q_ar" not in evaluated(capsys, *words, "--predictions", again)
    assert len(again.read_text().splitlines()) == 21


CORNERS = ("xmin", "ymin", "xmax", "ymax")


def flickr_folder(folder: Path, images: dict) -> Path:
    """What Flickr30K Entities has: sentences, boxes as XML (whose first pixel is 1), lists of images."""
    for name in ("Sentences", "Annotations"):
        (folder / name).mkdir()
    for image, scene in images.items():
        phrases = " and ".join(f"[/EN#{number + 1}/other a {colour} thing]" for number, colour in enumerate(scene))
        (folder / "Sentences" / f"{image}.txt").write_text(f"{phrases} .\n")
        objects = "".join(
            f"<object><name>{number + 1}</name><bndbox>"
            + "".join(f"<{n}>{int(v) + 1}</{n}>" for n, v in zip(CORNERS, BOXES[number], strict=True))
            + "</bndbox></object>"
            for number in range(len(scene))
        )
        (folder / "Annotations" / f"{image}.xml").write_text(f"<annotation>{objects}</annotation>")
    names = list(images)
    cut = int(0.7 * len(names))
    (folder / "train.txt").write_text("\n".join(names[:cut]) + "\n")
    (folder / "val.txt").write_text("\n".join(names[cut:]) + "\n")
    return folder


def test_flickr_entities(vl_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    images = scenes(20, objects=3)
    folder = flickr_folder(tmp_path, images)
    store = write_store(tmp_path / "store", images)
    words = ["finetune", "flickr-entities", str(vl_model), str(folder), str(tmp_path / "m"), "--regions", str(store)]
    assert main([*words, *FAST, "--training.max-steps", "2"]) == 0
    capsys.readouterr()
    out = tmp_path / "out.jsonl"
    found = evaluated(capsys, "flickr-entities", tmp_path / "m", folder, "--regions", store, "--predictions", out)
    assert found["r@5"] == found["baselines"]["ceiling"] == 1.0  # of three regions
    assert found["baselines"]["chance"] == pytest.approx(1 / 3)
    assert len(json.loads(out.read_text().splitlines()[0])["boxes"]) == 3


def test_stores_of_other_extractors_are_refused(
    vl_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    images = scenes(4, objects=3)
    folder = refcoco_folder(tmp_path, images)
    write_store(tmp_path / "given", images)
    other = RegionStore.create(tmp_path / "other", type(INFO)("another", {}, INFO.feature_size, None))
    words = ["finetune", "refcoco", str(vl_model), str(folder), str(tmp_path / "m")]
    assert main([*words, "--given-regions", str(other.path)]) == 2
    assert "was made by another extractor than the model reads" in capsys.readouterr().err
    assert main([*words, "--regions", str(tmp_path / "given")]) == 2
    assert "refcoco reads given boxes: name the store of given ones with --given-regions" in capsys.readouterr().err
