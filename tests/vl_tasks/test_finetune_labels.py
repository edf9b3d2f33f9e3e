"""Tasks of labels through the command line: trained on made scenes, evaluated, controlled, predicted."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.vl_tasks.made import FAST, scenes, write_json, write_lines, write_store

from interbert.cli.main import main


def vqa_files(folder: Path, images: dict) -> tuple[Path, Path]:
    """What VQA v2's files have: a question an image."""
    questions, annotations = [], []
    for place, (image, scene) in enumerate(images.items()):
        one = {"question_id": place, "image_id": int(image)}
        questions.append(one | {"question": "What color is it?"})
        answers = [{"answer": scene[0], "answer_confidence": "yes", "answer_id": n} for n in range(1, 11)]
        about = {"question_type": "what color is", "answer_type": "other", "multiple_choice_answer": scene[0]}
        annotations.append(one | about | {"answers": answers})
    kind = {"info": {}, "license": {}, "data_type": "mscoco", "data_subtype": "train2014"}
    write_json(folder / "questions.json", kind | {"task_type": "Open-Ended", "questions": questions})
    return folder / "questions.json", write_json(folder / "annotations.json", kind | {"annotations": annotations})


@pytest.fixture(scope="module")
def vqa(vl_model: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, Path, Path]:
    """A model that was fine-tuned, its questions and annotations, its store."""
    folder = tmp_path_factory.mktemp("vqa")
    images = scenes(240)
    questions, annotations = vqa_files(folder, images)
    store = write_store(folder / "store", images)
    words = ["finetune", "vqa", str(vl_model), str(questions), str(folder / "m"), "--annotations", str(annotations)]
    assert main([*words, "--regions", str(store), "--validation-share", "0.3", *FAST]) == 0
    return folder / "m", questions, annotations, store


def evaluated(capsys: pytest.CaptureFixture[str], *words: object) -> dict:
    capsys.readouterr()
    assert main(["evaluate", *map(str, words), "--json", "--bootstrap", "50"]) == 0
    return json.loads(capsys.readouterr().out)


def test_vqa_is_learnt_from_the_image(vqa: tuple[Path, ...], capsys: pytest.CaptureFixture[str]) -> None:
    model, questions, annotations, store = vqa
    words = ["vqa", model, questions, "--annotations", annotations]
    found = evaluated(capsys, *words, "--regions", store)
    assert found["accuracy"] > 0.95
    assert found["n"] == 240
    assert found["seen_in_pretraining"] is None
    blind = evaluated(capsys, *words, "--regions", store, "--image-control", "mean")
    assert blind["accuracy"] < 0.6
    assert blind["control"] == "mean_image"
    assert evaluated(capsys, *words, "--text-only")["accuracy"] < 0.6
    assert found["baselines"]["majority"] < 0.6


def nlvr2_file(folder: Path, images: dict) -> Path:
    """JSON lines of NLVR2: whether both images of a pair have one colour; image ids are dev-GROUP-0-img0 and -img1."""
    groups = [name.rsplit("-img", 1)[0] for name in images if name.endswith("img0")]
    rows = []
    for place, group in enumerate(groups):
        same = images[f"{group}-img0"] == images[f"{group}-img1"]
        rows.append({"identifier": f"{group}-{place % 3}", "sentence": "They are alike.", "label": str(same)})
    return write_lines(folder / "dev.json", rows)


def test_nlvr2_reads_two_images(vl_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arrangement = "pair_attention"
    drawn = list(scenes(400, objects=1).values())
    images = {f"dev-{place // 2}-0-img{place % 2}": one for place, one in enumerate(drawn)}
    for place in range(0, 200, 4):  # half of the pairs are alike
        images[f"dev-{place}-0-img1"] = images[f"dev-{place}-0-img0"]
    file, store = nlvr2_file(tmp_path, images), write_store(tmp_path / "store", images)
    words = ["finetune", "nlvr2", str(vl_model), str(file), str(tmp_path / "m"), "--regions", str(store)]
    more = [
        "--arrangement",
        arrangement,
        "--validation-share",
        "0.2",
        *FAST,
        "--training.epochs",
        "4",
        "--training.validations-per-epoch",
        "1",
    ]
    assert main([*words, *more]) == 0
    found = evaluated(capsys, "nlvr2", tmp_path / "m", file, "--regions", store)
    assert found["accuracy"] > found["baselines"]["majority"] + 0.2
    assert found["n_consistency"] <= found["n"]
    config = json.loads((tmp_path / "m" / "config.json").read_text())
    assert config["image_arrangement"] == arrangement
    assert config["id2label"] == {"0": "False", "1": "True"}
