"""What a model reads of an example: tokens, segments, images, targets; and which images are there."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from tests.vl_tasks.made import BOXES, scenes, write_store

from interbert.checkpoints.directory import load_processor, load_with_head
from interbert.errors import CheckpointError, DataError
from interbert.vl_tasks.example import Example
from interbert.vl_tasks.heads import ChoiceHead, LabelHead
from interbert.vl_tasks.image_regions import TaskRegions
from interbert.vl_tasks.images import given_boxes
from interbert.vl_tasks.items import VLCollator, VLItems
from interbert.vl_tasks.region_head import RegionHead
from interbert.vl_tasks.seen_images import seen_images
from interbert.vl_tasks.settings import TaskSettings
from interbert.vl_tasks.texts import tokenized


def choices(name: str, image: str, longest: int = 1) -> Example:
    seconds = tuple(("red " * (1 + place * longest)).strip() for place in range(3))
    return Example(name, (image,), ("what color is it ?",) * 3, seconds, target=1)


def test_a_text_of_two_parts_has_two_segments_and_is_cut_in_the_longer(vl_model: Path) -> None:
    processor = load_processor(vl_model)
    processor.max_text_tokens = 10
    ((short, _, long),) = tokenized(processor, [choices("1", "100", longest=6)])
    assert short.segments.tolist() == [0] * 7 + [1] * 2  # [CLS] five pieces [SEP], red [SEP]
    assert len(long.ids) == 10
    assert long.ids[-1] == processor.tokenizer.sep_token_id
    assert long.segments.tolist() == [0] * 5 + [1] * 5  # three pieces of five, four of thirteen
    (single,) = tokenized(processor, [Example("2", ("100",), ("red",))])[0]
    assert single.segments.tolist() == [0, 0, 0]


def test_choices_that_share_an_image_score_as_with_one_each(vl_model: Path, tmp_path: Path) -> None:
    images = {"100": ["red"], "101": ["blue", "green"]}
    regions = TaskRegions(TaskSettings("vcr"), [str(write_store(tmp_path / "store", images))], [])
    examples, _ = regions.split([choices("1", "100"), choices("2", "101")])
    processor = load_processor(vl_model)
    head = ChoiceHead()
    items = VLItems(examples, processor, regions, head).at([0, 1])
    batch = VLCollator(processor.pad_token_id, head)(items)
    assert len(batch["region_features"]) == 2
    assert len(batch["input_ids"]) == 6
    assert batch["targets"].tolist() == [1, 1]
    torch.manual_seed(0)
    model = load_with_head(head.model_class, vl_model).eval()
    with torch.no_grad():
        found = head.logits(model, batch)
        for row, (one, item) in enumerate(zip(examples, items, strict=True)):
            inputs = processor.tokenizer(
                list(one.texts), list(one.second_texts), padding=True, return_tensors="pt", return_token_type_ids=True
            )
            sides = {name: torch.from_numpy(side)[None] for name, side in zip(SIDES, item.images[0], strict=True)}
            wanted = model(**{name: value[None] for name, value in inputs.items()}, **sides).logits
            assert torch.allclose(found[row], wanted[0], atol=1e-5)


SIDES = ("region_features", "region_locations")


def test_regions_are_right_by_their_overlap() -> None:
    box = (0.0, 0.0, 40.0, 40.0)
    boxes = np.array([box, (0, 0, 40, 20), (0, 0, 40, 19), (60, 60, 90, 90)], dtype=np.float32)
    example = Example("1", ("100",), ("red",), target=(box,))
    assert RegionHead().target(example, boxes).tolist() == pytest.approx([1.0, 0.5, 0.0, 0.0])
    two = Example("1", ("100",), ("red",), target=((0.0, 0.0, 40.0, 20.0), (0.0, 20.0, 40.0, 40.0)))
    assert RegionHead().target(two, boxes).tolist() == pytest.approx([0.5, 1.0, 0.95, 0.0])
    assert RegionHead(merge=True).target(two, boxes).tolist() == pytest.approx([1.0, 0.5, 0.0, 0.0])


def test_soft_targets_are_summed_over_labels_and_unknown_answers_are_no_label() -> None:
    head = LabelHead(["a", "b"], True, 1)
    targets = [head.target(Example("1", ("1",), ("x",), target=one), np.zeros((0, 4))) for one in SOFT]
    table = head.collate(targets)
    assert table.tolist() == [[1.0, pytest.approx(0.3)], [0.0, 0.0]]
    logits = torch.tensor([[0.5, -1.0], [2.0, 0.0]])
    by_hand = 0.0
    for x, t in zip(logits.flatten().tolist(), table.flatten().tolist(), strict=True):
        p = 1 / (1 + np.exp(-x))
        by_hand -= t * np.log(p) + (1 - t) * np.log(1 - p)
    assert float(head.loss(logits, table)) == pytest.approx(by_hand / 2, rel=1e-5)


SOFT = [{"a": 1.0, "b": 0.3}, {"other": 1.0}]


def test_images_are_found_by_other_names_and_missing_ones_counted(tmp_path: Path) -> None:
    store = write_store(tmp_path / "store", {"COCO_val2014_000000000042.jpg": ["red"], "7": ["blue"]})
    regions = TaskRegions(TaskSettings("vqa"), [str(store)], [])
    names = {"image_names": (("COCO_val2014_000000000042",),)}
    asked = [
        Example("1", ("42",), ("x",), details=names),
        Example("2", ("8",), ("x",)),
        Example("3", ("7", "8"), ("x",)),
        Example("4", ("7",), ("x",)),
    ]
    there, missing = regions.split(asked)
    assert [one.id for one in there] == ["1", "4"]
    assert (missing.images, missing.examples) == (("8",), 2)
    assert "lacks 1 images of 2 examples (8)" in missing.told("the store", None)
    first, second = regions.take(["42", "7"])
    assert first.features[0, 0] > 0
    assert second.features[0, 1] > 0


def test_given_boxes_come_before_detected_ones_and_the_mean_is_over_both(vl_model: Path, tmp_path: Path) -> None:
    given = write_store(tmp_path / "given", {"1": ["red"]})
    detected = write_store(tmp_path / "detected", {"1": ["blue", "green"]}, BOXES[1:])
    regions = TaskRegions(TaskSettings("vcr", "both", max_regions=2), [str(detected)], [str(given)])
    there, _ = regions.split([Example("1", ("1",), ("x",))])
    (one,) = regions.take(["1"])
    assert one.boxes.tolist() == [list(BOXES[0]), list(BOXES[1])]
    processor = load_processor(vl_model)
    (item,) = VLItems(there, processor, regions, ChoiceHead()).at([0])
    features, locations = item.images[0]
    assert np.allclose(features[0], features[1:].mean(axis=0))
    assert locations[0].tolist() == [0, 0, 1, 1, 1]


def test_boxes_of_an_image_must_agree() -> None:
    one = Example("1", ("1",), ("x",), boxes=(BOXES[0],))
    assert list(given_boxes([one, one])) == ["1"]
    with pytest.raises(DataError, match="gives other boxes of image 1"):
        given_boxes([one, Example("2", ("1",), ("x",), boxes=(BOXES[1],))])
    with pytest.raises(DataError, match="its file gives no boxes"):
        given_boxes([Example("3", ("2",), ("x",))])


def test_images_of_pretraining_are_counted_by_id_and_by_file(tmp_path: Path) -> None:
    seen = write_store(tmp_path / "seen", {"100.jpg": ["red"], "other": ["blue"]})
    (tmp_path / "pretrained").mkdir()
    (tmp_path / "pretrained" / "recipe.json").write_text(json.dumps({"regions": str(seen), "model": {}}))
    (tmp_path / "m").mkdir()
    recipe = {"task": "vqa", "regions": ["x"], "model": str(tmp_path / "pretrained")}
    (tmp_path / "m" / "recipe.json").write_text(json.dumps(recipe))
    examples = [Example(name, (name,), ("x",)) for name in scenes(3)]  # images 100, 101, 102
    store = write_store(tmp_path / "store", {"102": ["red"], **scenes(2)})  # files are numbered by their row
    regions = TaskRegions(TaskSettings("vqa"), [str(store)], [])
    regions.split(examples)
    assert seen_images(str(tmp_path / "m"), examples, None).seen == 1
    assert seen_images(str(tmp_path / "m"), examples, regions).seen == 2
    (tmp_path / "pretrained" / "recipe.json").unlink()
    unknown = seen_images(str(tmp_path / "m"), examples, regions)
    assert unknown.seen is None
    assert "is not known" in unknown.told()


@pytest.mark.parametrize(
    ("held", "name", "message"),
    [
        (None, "vqa", "was fine-tuned for no vision-and-language task"),
        ({"name": "vqa"}, "gqa", "was fine-tuned for vqa, not for gqa"),
        ({"name": "vqa", "boxes": "none"}, "vqa", "is damaged"),
        ({"name": "vqa", "max_regions": "many"}, "vqa", "is damaged"),
        ({"tasks": {"vqa": 3}}, "vqa", "is damaged"),
        ({"boxes": "given"}, None, "is damaged"),
    ],
)
def test_settings_of_other_models_are_refused(held: object, name: str | None, message: str) -> None:
    with pytest.raises(CheckpointError, match=message):
        TaskSettings.of(SimpleNamespace(vl_task=held), "models/x", name)
