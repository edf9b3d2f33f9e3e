from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from tests.extraction.test_grid import noise
from tests.extraction.tiny_detectors import MAKERS, QUERIES, save_detector
from transformers import AutoImageProcessor, AutoModelForObjectDetection

from interbert.cli.main import main
from interbert.errors import ConfigError
from interbert.extraction.detectors import (
    DetectorExtractor,
    choose_queries,
    class_probabilities,
    corner_boxes,
    open_detector,
)
from interbert.extraction.extractor import build_extractor
from interbert.extraction.settings import DetectorSettings
from interbert.extraction.weights import class_names
from interbert.regions.store import RegionStore

LABELS = {"detr": 5, "yolos": 4, "rt_detr": 6, "d_fine": 6}


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    base = tmp_path_factory.mktemp("detectors")
    return {name: save_detector(name, base / name) for name in MAKERS}


def opened(folder: Path, **values: object) -> DetectorExtractor:
    return open_detector(DetectorSettings(str(folder), **values), "cpu")


@pytest.mark.parametrize("name", MAKERS)
def test_regions_are_the_detectors_own_queries(name: str, folders: dict[str, Path]) -> None:
    """Boxes as transformers' own post-processing places them, embeddings and labels of the same queries."""
    extractor = opened(folders[name], min_boxes=QUERIES, max_boxes=QUERIES)
    assert (extractor.info.feature_size, extractor.info.num_classes) == (16, LABELS[name] + 1)
    image = noise(90, 60, seed=2)
    regions = extractor.detect([image])[0].validate("here")
    assert regions.boxes.shape == (QUERIES, 4)
    model = AutoModelForObjectDetection.from_pretrained(folders[name]).eval()
    processor = AutoImageProcessor.from_pretrained(folders[name])
    with torch.inference_mode():
        outputs = model(**processor(images=[image], return_tensors="pt"))
    cx, cy, w, h = outputs.pred_boxes[0].double().numpy().T
    theirs = np.stack([(cx - w / 2) * 90, (cy - h / 2) * 60, (cx + w / 2) * 90, (cy + h / 2) * 60], axis=1)
    theirs = theirs.clip(0, [90, 60, 90, 60])
    places = [int(np.abs(theirs - box).sum(1).argmin()) for box in regions.boxes]
    assert sorted(places) == list(range(QUERIES))
    np.testing.assert_allclose(regions.boxes, theirs[places], atol=1e-3)
    hidden = outputs.last_hidden_state[0, -QUERIES:].numpy()[places]
    np.testing.assert_allclose(regions.features.astype(np.float32), hidden, rtol=2e-3, atol=2e-3)
    assert regions.class_probs is not None
    np.testing.assert_allclose(regions.class_probs.astype(np.float32).sum(1), 1.0, atol=2e-3)
    best = outputs.logits[0, :, : LABELS[name]].argmax(-1).numpy()[places]
    assert (regions.class_probs[:, 1:].argmax(1) == best).mean() > 0.9  # float16 makes ties
    surest = regions.class_probs[:, 1:].max(1).astype(np.float32)
    assert (np.diff(surest) <= 1e-3).all()


@pytest.mark.parametrize("name", MAKERS)
def test_an_image_gets_the_same_regions_alone_and_in_a_batch(name: str, folders: dict[str, Path]) -> None:
    extractor = opened(folders[name], min_boxes=6, max_boxes=6)
    images = [noise(*size, seed=seed) for seed, size in enumerate([(90, 60), (60, 90), (90, 60), (50, 50), (90, 60)])]
    for image, batched in zip(images, extractor.detect(images), strict=True):
        single = extractor.detect([image])[0]
        assert (batched.width, batched.height) == image.size
        np.testing.assert_allclose(batched.boxes, single.boxes, atol=0.05)
        ours, theirs = (one.features.astype(np.float32) for one in (batched, single))
        np.testing.assert_allclose(ours, theirs, rtol=1e-2, atol=1e-2)


@pytest.mark.parametrize("name", MAKERS)
@pytest.mark.parametrize("size", [(1, 1), (300, 7), (300, 40), (8, 300)])
def test_an_image_of_any_shape_has_regions_inside_it(
    name: str, size: tuple[int, int], folders: dict[str, Path]
) -> None:
    regions = opened(folders[name]).detect([Image.new("RGB", size, "red")])[0].validate("here")
    assert (regions.width, regions.height) == size
    assert (regions.boxes >= 0).all()
    assert (regions.boxes <= np.array([*size, *size])).all()


def test_scores_with_a_class_for_nothing_are_a_distribution_with_nothing_first() -> None:
    logits = torch.tensor([[[1.0, 2.0, 3.0, 0.5]]])
    odds = np.exp([0.5, 1.0, 2.0, 3.0])
    np.testing.assert_allclose(class_probabilities(logits, 3)[0, 0].numpy(), odds / odds.sum(), rtol=1e-5)


def test_scores_of_each_label_by_itself_leave_nothing_what_the_surest_leaves() -> None:
    each = np.array([0.6, 0.3, 0.1])
    logits = torch.tensor(np.log(each / (1 - each)), dtype=torch.float32)[None, None]
    found = class_probabilities(logits, 3)[0, 0].numpy()
    np.testing.assert_allclose(found, [0.4, 0.36, 0.18, 0.06], rtol=1e-5)
    nothing = class_probabilities(torch.full((1, 1, 3), -200.0), 3)[0, 0].numpy()
    np.testing.assert_allclose(nothing, [1, 0, 0, 0], atol=1e-6)


def test_boxes_are_corners_inside_the_image() -> None:
    found = corner_boxes(torch.tensor([[0.5, 0.5, 0.4, 0.2], [0.9, 0.1, 0.4, 0.4]]))
    np.testing.assert_allclose(found.numpy(), [[0.3, 0.4, 0.7, 0.6], [0.7, 0.0, 1.0, 0.3]], atol=1e-6)


@pytest.mark.parametrize(
    ("least", "most", "wanted"), [(1, 9, [3, 1]), (3, 9, [3, 1, 0]), (1, 1, [3]), (9, 9, [3, 1, 0, 2])]
)
def test_queries_are_chosen_by_their_best_label(least: int, most: int, wanted: list[int]) -> None:
    probabilities = torch.tensor([[0.9, 0.1, 0.0], [0.5, 0.1, 0.4], [1.0, 0.0, 0.0], [0.3, 0.7, 0.0]])
    settings = DetectorSettings(min_boxes=least, max_boxes=most)
    assert choose_queries(probabilities, settings).tolist() == wanted


def test_build_extractor_is_the_inverse_of_the_info_and_refuses_another_detector(tmp_path: Path) -> None:
    folder = save_detector("rt_detr", tmp_path / "here")
    extractor = opened(folder, threshold=0.3)
    again = build_extractor(json.loads(extractor.info.to_json()), device="cpu")
    assert again.info == extractor.info
    moved = opened(Path(shutil.copytree(folder, tmp_path / "there")), threshold=0.3)
    assert moved.info.fingerprint == extractor.info.fingerprint
    text = json.loads((folder / "preprocessor_config.json").read_text())
    (folder / "preprocessor_config.json").write_text(json.dumps(text | {"size": {"height": 96, "width": 96}}))
    with pytest.raises(ConfigError, match="is another detector"):
        build_extractor(extractor.info)
    with pytest.raises(ConfigError, match="no setting 'colour'"):
        build_extractor(replace(extractor.info, settings={"colour": 1}))


def test_classes_have_the_detectors_names_with_nothing_first(folders: dict[str, Path]) -> None:
    assert class_names(opened(folders["detr"]).info) == ("nothing", *(f"LABEL_{k}" for k in range(5)))


def test_what_is_no_detector_is_an_error_of_one_line(tmp_path: Path, tiny_bert: str) -> None:
    (tmp_path / "empty").mkdir()
    file = tmp_path / "model.safetensors"
    file.write_bytes(b"abc")
    for where, message in (
        (tiny_bert, "is no object detector that transformers can load"),
        (tmp_path / "empty", "holds no weights"),
        (file, "is a file"),
        (tmp_path / "nothing", "no weights at this path"),
    ):
        with pytest.raises(ConfigError, match=message) as caught:
            opened(Path(where))
        assert "\n" not in str(caught.value)


def test_a_truncated_detector_is_an_error_of_one_line(tmp_path: Path) -> None:
    folder = save_detector("yolos", tmp_path / "d")
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:500])
    with pytest.raises(ConfigError, match="is no object detector that transformers can load") as caught:
        opened(folder)
    assert "\n" not in str(caught.value)


def test_the_command_extracts_and_continues(shop: Path, tmp_path: Path, folders: dict[str, Path]) -> None:
    words = ["extract", str(shop), str(tmp_path / "s"), "--extractor", "detector", "--device", "cpu"]
    words += ["--weights", str(folders["d_fine"]), "--min-boxes", "4", "--max-boxes", "7"]
    assert main([*words, "--limit", "5"]) == 0
    assert main(words) == 0
    store = RegionStore.open(tmp_path / "s")
    assert (len(store), store.info.name) == (24, "detector")
    assert all(4 <= len(one.boxes) <= 7 for one in store.take(range(24)))
