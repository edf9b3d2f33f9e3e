"""The few real samples of official files with their images, end to end at tiny size; they lie beside a checkout."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from interbert.checkpoints.directory import load_processor, load_with_head
from interbert.cli.main import main
from interbert.extraction.grid import GridExtractor, GridSettings
from interbert.model.modeling import InterBertForPreTraining
from interbert.model.processing import InterBertProcessor
from interbert.model.region_choice import InterBertForRegionChoice
from interbert.model.region_inputs import InterBertRegionFeatureExtractor
from interbert.vl_tasks.settings import TaskSettings

SAMPLES = next(
    (one / "shared/data/tasks" for one in Path(__file__).resolve().parents if (one / "shared/data/tasks").is_dir()),
    None,
)
pytestmark = pytest.mark.skipif(SAMPLES is None, reason="the samples are not there")


@pytest.fixture(scope="module")
def grid_model(vl_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny model that reads windows of small images, as an offline extractor describes them."""
    out = tmp_path_factory.mktemp("grid") / "model"
    info = GridExtractor(GridSettings(input_size=64, scales=(1,))).info
    model = InterBertForPreTraining.from_pretrained(vl_model)
    config = model.config
    config.region_feature_size = info.feature_size
    torch.manual_seed(0)
    InterBertForPreTraining(config).save_pretrained(out)
    tokenizer = InterBertProcessor.from_pretrained(vl_model).tokenizer
    InterBertProcessor(InterBertRegionFeatureExtractor(info.to_dict()), tokenizer).save_pretrained(out)
    return out


@pytest.mark.parametrize(
    ("task", "file", "more", "labels"),
    [
        ("snli-ve", "snli_ve/sample_pairs.jsonl", [], None),
        ("nlvr2", "nlvr2/tiny-dev.json", [], None),
        ("vqa", "vqa_v2/questions.json", ["vqa_v2/annotations.json"], "vqa_v2/trainval_label2ans.json"),
        ("gqa", "gqa/questions.json", [], ["yes", "no", "picture"]),
    ],
)
def test_a_sample_is_trained_on_evaluated_and_written(
    grid_model: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    task: str,
    file: str,
    more: list[str],
    labels: str | list[str] | None,
) -> None:
    assert SAMPLES is not None
    source, images = str(SAMPLES / file), str(SAMPLES / file.split("/")[0] / "images")
    second = [word for one in more for word in ("--annotations", str(SAMPLES / one))]
    words = ["finetune", task, str(grid_model), source, str(tmp_path / "m"), "--images", images, *second]
    if isinstance(labels, list):
        (tmp_path / "labels.json").write_text(json.dumps(labels))
    named = str(tmp_path / "labels.json") if isinstance(labels, list) else labels and str(SAMPLES / labels)
    words += ["--labels", named] if named else []
    validation = ["--validation", source, *(["--validation-annotations", second[1]] if second else [])]
    words += [*validation, "--training.max-steps", "1", "--training.batch-size", "2"]
    assert main(words) == 0
    capsys.readouterr()
    out = tmp_path / "predictions"
    again = ["evaluate", task, str(tmp_path / "m"), source, "--images", images, *second, "--predictions", str(out)]
    assert main([*again, "--json", "--bootstrap", "10"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert 0 <= found["accuracy"] <= 1
    assert found["n"] > 0
    assert found["missing_images_examples"] == 0
    assert out.stat().st_size > 0


def test_boxes_of_a_table_are_described_in_its_image_files(grid_model: Path, tmp_path: Path) -> None:
    """Extraction at given boxes and by the extractor itself, which VCR joins; needs no sample but its image."""
    assert SAMPLES is not None
    torch.manual_seed(1)
    settings = TaskSettings("refcoco", "both").to_dict()
    load_with_head(InterBertForRegionChoice, grid_model, vl_task=settings).save_pretrained(tmp_path / "m")
    load_processor(grid_model).save_pretrained(tmp_path / "m")
    (tmp_path / "photo.jpg").write_bytes((SAMPLES / "vqa_v2/images/COCO_train2014_000000458752.jpg").read_bytes())
    boxes = [[0, 0, 200, 200], [100, 50, 300, 300]]
    row = {"text": "the one", "image": "photo.jpg", "boxes": json.dumps(boxes)}
    (tmp_path / "in.jsonl").write_text(json.dumps(row) + "\n")
    out = tmp_path / "out.jsonl"
    words = ["predict", str(tmp_path / "m"), str(tmp_path / "in.jsonl"), str(out), "--boxes-column", "boxes"]
    assert main(words) == 0
    answers = [one["answer"] for one in json.loads(out.read_text())["answers"]]
    assert all(box in answers for box in boxes)
    assert len(answers) == 2 + 1  # and the one window of the extractor
