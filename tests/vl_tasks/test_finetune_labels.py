"""Tasks of labels through the command line: trained on made scenes, evaluated, controlled, predicted."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.vl_tasks.made import FAST, scenes, write_json, write_store

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
    images = scenes(60)
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
    assert found["n"] == 60
    assert found["seen_in_pretraining"] is None
    blind = evaluated(capsys, *words, "--regions", store, "--image-control", "mean")
    assert blind["accuracy"] < 0.6
    assert blind["control"] == "mean_image"
    assert evaluated(capsys, *words, "--text-only")["accuracy"] < 0.6
    assert found["baselines"]["majority"] < 0.6
