from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tests.extraction.frcnn.checks import TINY, same
from tests.extraction.frcnn.conftest import write_port
from tests.extraction.test_grid import noise

from interbert.errors import ConfigError
from interbert.extraction.extractor import build_extractor
from interbert.extraction.frcnn.extractor import FrcnnExtractor, detector_pixels, open_frcnn, scaled_size
from interbert.extraction.settings import FrcnnSettings
from interbert.extraction.weights import class_names
from interbert.regions.schema import ExtractorInfo


@pytest.fixture
def extractor(hub_folder: Path) -> FrcnnExtractor:
    return open_frcnn(FrcnnSettings(str(hub_folder), min_boxes=4, max_boxes=8), "cpu")


def floats(values: np.ndarray | None) -> np.ndarray:
    assert values is not None
    return values.astype(np.float32)


def test_regions_have_the_sizes_that_the_info_says(extractor: FrcnnExtractor) -> None:
    one = extractor.detect_attributes([noise(90, 70)])[0]
    regions = one.regions.validate("here")
    assert 4 <= len(regions.boxes) <= 8
    assert (regions.width, regions.height) == (90, 70)
    assert regions.features.shape[1] == extractor.info.feature_size == 128
    assert extractor.info.num_classes == 10
    assert regions.class_probs is not None
    assert regions.class_probs.shape[1] == 10
    np.testing.assert_allclose(floats(regions.class_probs).sum(1), 1.0, atol=2e-3)
    assert one.attribute_probs is not None
    assert one.attribute_probs.shape == (len(regions.boxes), 5)
    np.testing.assert_allclose(floats(one.attribute_probs).sum(1), 1.0, atol=2e-3)
    assert regions.features.dtype == np.float16
    assert (regions.boxes >= 0).all()
    assert (regions.boxes <= np.array([90, 70, 90, 70])).all()
    assert (regions.boxes[:, 2:] > regions.boxes[:, :2]).all()


def test_an_image_gets_the_same_regions_alone_and_in_a_batch(
    extractor: FrcnnExtractor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("interbert.extraction.frcnn.extractor._BATCH", {"cpu": 3})
    images = [noise(*size, seed=seed) for seed, size in enumerate([(90, 70), (70, 90), (90, 70), (90, 70), (40, 40)])]
    for image, batched in zip(images, extractor.detect(images), strict=True):
        single = extractor.detect([image])[0]
        np.testing.assert_allclose(batched.boxes, single.boxes, atol=1e-3)
        np.testing.assert_allclose(floats(batched.features), floats(single.features), rtol=4e-3, atol=4e-3)


def test_the_variant_with_a_fixed_number_has_that_number(hub_folder: Path) -> None:
    extractor = open_frcnn(FrcnnSettings(str(hub_folder), min_boxes=9, max_boxes=9), "cpu")
    assert [len(one.boxes) for one in extractor.detect([noise(90, 70), noise(64, 64)])] == [9, 9]


@pytest.mark.parametrize("size", [(1, 1), (300, 2), (3, 400), (17, 90)])
def test_an_image_of_any_shape_has_regions_inside_it(extractor: FrcnnExtractor, size: tuple[int, int]) -> None:
    regions = extractor.detect([Image.new("RGB", size, "red")])[0].validate("here")
    assert (regions.boxes >= 0).all()
    assert (regions.boxes <= np.array([*size, *size])).all()


def test_no_image_gives_no_regions(extractor: FrcnnExtractor) -> None:
    assert extractor.detect([]) == []


def test_given_boxes_are_described_where_they_are_and_stay_as_they_are(extractor: FrcnnExtractor) -> None:
    """The boxes that the detector itself pooled from, given back in the image's pixels, get its own features."""
    image = noise(90, 70, seed=3)
    own = extractor.detect([image])[0]
    again = extractor.encode([image, noise(30, 30)], [own.boxes[::-1].copy(), np.float32([[0, 0, 30, 30]])])
    np.testing.assert_array_equal(again[0].boxes, own.boxes[::-1])
    np.testing.assert_allclose(floats(again[0].features), floats(own.features)[::-1], rtol=4e-3, atol=4e-3)
    assert again[1].features.shape == (1, 128)
    moved = extractor.encode([image], [own.boxes[::-1] + 20])[0]
    assert not np.allclose(floats(moved.features), floats(again[0].features), atol=0.05)


def test_given_boxes_reach_the_network_in_pixels_of_the_scaled_image(
    extractor: FrcnnExtractor, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []
    encode = extractor.model.encode
    monkeypatch.setattr(extractor.model, "encode", lambda x, boxes: seen.append((x, boxes)) or encode(x, boxes))
    image = noise(50, 20)
    extractor.encode([image], [np.float32([[10, 5, 25, 20]])])
    ((pixels, boxes),) = seen
    assert scaled_size(50, 20, TINY) == (160, 64)
    same(pixels[0], detector_pixels(image, TINY), 0)
    same(boxes[0], [[32, 16, 80, 64]], 1e-4)


def test_build_extractor_is_the_inverse_of_the_info_wherever_the_weights_were_moved(
    extractor: FrcnnExtractor, hub_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    image = noise(90, 70)
    wanted = extractor.detect([image])[0]
    described = json.loads(extractor.info.to_json())
    again = build_extractor(described, device="cpu")
    assert again.info.fingerprint == extractor.info.fingerprint
    np.testing.assert_array_equal(again.detect([image])[0].features, wanted.features)
    (tmp_path / "elsewhere").mkdir()
    shutil.move(hub_folder, tmp_path / "elsewhere" / "frcnn")
    with pytest.raises(ConfigError, match=r"no weights at this path.*INTERBERT_WEIGHTS"):
        build_extractor(described)
    monkeypatch.setenv("INTERBERT_WEIGHTS", f"/nowhere:{tmp_path / 'elsewhere'}")
    np.testing.assert_array_equal(build_extractor(described, device="cpu").detect([image])[0].boxes, wanted.boxes)
    moved = open_frcnn(FrcnnSettings(str(tmp_path / "elsewhere" / "frcnn"), min_boxes=4, max_boxes=8), "cpu")
    assert moved.info != extractor.info
    assert moved.info.fingerprint == extractor.info.fingerprint


def test_other_weights_at_the_same_place_are_refused(extractor: FrcnnExtractor, hub_folder: Path) -> None:
    shutil.rmtree(hub_folder)
    write_port(hub_folder, TINY, seed=1)
    with pytest.raises(ConfigError, match=r"is another detector \(weights_sha256 "):
        build_extractor(extractor.info)


def test_an_unknown_setting_is_named(extractor: FrcnnExtractor) -> None:
    settings = {**extractor.info.settings, "colour_bins": 3}
    with pytest.raises(ConfigError, match="no setting 'colour_bins'"):
        build_extractor(ExtractorInfo("frcnn", settings, 128, 10))


def test_bfloat16_is_near_to_float32(hub_folder: Path) -> None:
    whole = open_frcnn(FrcnnSettings(str(hub_folder)), "cpu")
    half = open_frcnn(FrcnnSettings(str(hub_folder), precision="bfloat16"), "cpu")
    assert half.info.fingerprint != whole.info.fingerprint
    image, boxes = noise(90, 70), np.float32([[0, 0, 90, 70], [10, 10, 60, 50]])
    ours, theirs = (floats(one.encode([image], [boxes])[0].features) for one in (half, whole))
    cosines = (ours * theirs).sum(1) / np.linalg.norm(ours, axis=1) / np.linalg.norm(theirs, axis=1)
    assert (cosines > 0.999).all()
    assert not np.array_equal(ours, theirs)


def test_classes_have_visual_genomes_names() -> None:
    names = class_names(ExtractorInfo("frcnn", {}, 2048, 1601))
    assert names is not None
    assert names[:2] == ("background", "yolk")
    assert class_names(ExtractorInfo("given", {"described_by": "frcnn"}, 2048, 1601)) == names
    assert class_names(ExtractorInfo("frcnn", {}, 2048, 81)) is None


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"min_boxes": 0}, "min_boxes"),
        ({"max_boxes": 301}, "max_boxes"),
        ({"min_boxes": 40, "max_boxes": 36}, "min_boxes is 40"),
        ({"threshold": 1.5}, "threshold"),
        ({"nms": -0.1}, "nms"),
        ({"boxes": "anchors"}, "boxes must be one of proposals, refined"),
        ({"precision": "int8"}, "precision"),
    ],
)
def test_an_impossible_setting_is_named(values: dict, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        FrcnnSettings(**values)


def test_no_weights_and_no_device_are_errors_that_say_what_to_give(hub_folder: Path) -> None:
    with pytest.raises(ConfigError, match=r"Give --weights a file"):
        open_frcnn(FrcnnSettings())
    with pytest.raises(ConfigError, match="device 'nowhere' cannot be used"):
        open_frcnn(FrcnnSettings(str(hub_folder)), "nowhere")


@pytest.mark.gpu
def test_on_cuda_regions_are_those_of_the_cpu(hub_folder: Path) -> None:
    import torch

    if not torch.cuda.is_available():
        pytest.skip("no CUDA")
    settings = FrcnnSettings(str(hub_folder))
    boxes = np.float32([[0, 0, 90, 70], [10, 10, 60, 50]])
    ours, theirs = (open_frcnn(settings, one).encode([noise(90, 70)], [boxes])[0] for one in ("cuda", "cpu"))
    np.testing.assert_allclose(floats(ours.features), floats(theirs.features), rtol=2e-2, atol=2e-2)
