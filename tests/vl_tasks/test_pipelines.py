"""Pipelines of transformers: its own for classifiers of texts, ours for fine-tuned tasks."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from tests.vl_tasks.made import write_store
from transformers import pipeline

import interbert.pipelines  # noqa: F401  (registers)
from interbert.checkpoints.directory import load_classifier, load_processor, load_with_head
from interbert.errors import ConfigError
from interbert.model.region_choice import InterBertForRegionChoice
from interbert.regions.store import RegionStore
from interbert.vl_tasks.settings import TaskSettings


def test_a_classifier_of_texts_works_in_text_classification(vl_model: Path, tmp_path: Path) -> None:
    torch.manual_seed(1)
    model = load_classifier(vl_model, ["bad", "good"]).eval()
    processor = load_processor(vl_model)
    model.save_pretrained(tmp_path)
    processor.save_pretrained(tmp_path)
    classify = pipeline("text-classification", model=str(tmp_path))
    texts = ["a fine film", "what is it", "black"]
    with torch.no_grad():
        wanted = model(**processor(text=texts)).logits.softmax(dim=1)
    found = classify(texts, top_k=None)
    for scores, row in zip(found, wanted.tolist(), strict=True):
        said = {one["label"]: one["score"] for one in scores}
        assert [said["bad"], said["good"]] == pytest.approx(row, abs=1e-5)


def test_questions_about_an_image(vl_model: Path, tmp_path: Path) -> None:
    torch.manual_seed(1)
    model = load_classifier(vl_model, ["red", "blue", "green"]).eval()
    model.config.vl_task = TaskSettings("gqa").to_dict()
    processor = load_processor(vl_model)
    model.save_pretrained(tmp_path / "m")
    processor.save_pretrained(tmp_path / "m")
    store = RegionStore.open(write_store(tmp_path / "store", {"1": ["red"], "2": ["blue", "red"]}))
    images = store.take([0, 1])
    ask = pipeline("interbert-visual-question-answering", model=str(tmp_path / "m"))
    found = ask([{"text": "what color is it ?", "image": one} for one in images], top_k=3)
    for image, answers in zip(images, found, strict=True):
        with torch.no_grad():
            row = model(**processor(text=["what color is it ?"], regions=[image])).logits.softmax(dim=1)[0]
        said = {one["answer"]: one["probability"] for one in answers}
        assert [said[label] for label in ("red", "blue", "green")] == pytest.approx(row.tolist(), abs=1e-5)
        assert answers[0]["probability"] == max(said.values())
    with pytest.raises(ConfigError, match="a model of GQA reads 'image' of an input"):
        ask({"text": "what ?"})


def test_a_referring_expression_gives_boxes(vl_model: Path, tmp_path: Path) -> None:
    torch.manual_seed(1)
    model = load_with_head(
        InterBertForRegionChoice, vl_model, vl_task=TaskSettings("refcoco", "given", max_regions=2).to_dict()
    )
    model.save_pretrained(tmp_path / "m")
    load_processor(vl_model).save_pretrained(tmp_path / "m")
    store = RegionStore.open(write_store(tmp_path / "store", {"1": ["red", "blue", "green"]}))
    find = pipeline("interbert-referring-expression", model=str(tmp_path / "m"))
    (image,) = store.take([0])
    answers = find({"text": "the red one", "image": image})
    assert sorted(one["answer"] for one in answers) == [[0.0, 0.0, 40.0, 40.0], [50.0, 50.0, 90.0, 90.0]]
