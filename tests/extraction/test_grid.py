from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image
from tests.conftest import draw

from interbert.errors import ConfigError
from interbert.extraction.extractor import build_extractor
from interbert.extraction.grid import GridExtractor, GridSettings
from interbert.regions.schema import ExtractorInfo


@pytest.fixture(scope="module")
def extractor() -> GridExtractor:
    return GridExtractor(GridSettings(input_size=128, scales=(1, 2, 3)))


def noise(width: int, height: int, seed: int = 0) -> Image.Image:
    values = np.random.default_rng(seed).integers(0, 256, (max(1, height // 4), max(1, width // 4), 3), np.uint8)
    return Image.fromarray(values).resize((width, height))


def test_an_image_gets_the_same_regions_alone_and_in_a_batch(extractor: GridExtractor) -> None:
    sizes = [(60, 80), (80, 60), (70, 70), (300, 40), (33, 200), (61, 79), (128, 128), (9, 9), (40, 300), (50, 50)]
    images = [noise(*size, seed=seed) for seed, size in enumerate(sizes)] * 2
    together = extractor.detect(images)
    assert len(together) == 20
    for image, batched in zip(images, together, strict=True):
        single = extractor.detect([image])[0]
        assert (batched.width, batched.height) == image.size
        np.testing.assert_array_equal(batched.boxes, single.boxes)
        for name in ("features", "class_probs"):
            ours, theirs = getattr(batched, name), getattr(single, name)
            np.testing.assert_allclose(ours.astype(np.float32), theirs.astype(np.float32), rtol=2e-3, atol=1e-3)


def test_regions_have_the_sizes_that_the_info_says(extractor: GridExtractor) -> None:
    regions = extractor.detect([draw("red", "circle")])[0].validate("here")
    assert extractor.info.name == "grid"
    assert regions.boxes.shape == (14, 4)
    assert regions.features.shape == (14, extractor.info.feature_size)
    assert regions.class_probs is not None
    assert regions.class_probs.shape == (14, extractor.info.num_classes)
    assert regions.features.dtype == regions.class_probs.dtype == np.float16
    np.testing.assert_allclose(regions.class_probs.astype(np.float32).sum(1), 1.0, atol=2e-3)
    assert (regions.class_probs >= 0).all()


def test_no_image_gives_no_regions(extractor: GridExtractor) -> None:
    assert extractor.detect([]) == []


@pytest.mark.parametrize("size", [(1, 1), (5000, 2), (3, 4000), (1, 500)])
def test_an_image_of_any_shape_has_regions_inside_it(extractor: GridExtractor, size: tuple[int, int]) -> None:
    regions = extractor.detect([Image.new("RGB", size, "red")])[0].validate("here")
    assert (regions.width, regions.height) == size
    assert (regions.boxes >= 0).all()
    assert (regions.boxes <= np.array([*size, *size])).all()


def test_colours_are_read_where_they_are() -> None:
    extractor = GridExtractor(GridSettings(input_size=64, scales=(2,), overlap=0.0, features=("colour",)))
    image = Image.new("RGB", (64, 64), "white")
    image.paste((255, 0, 0), (0, 0, 32, 32))
    regions = extractor.detect([image])[0]
    colours = regions.features.astype(np.float32).reshape(4, 3, 3, 3)  # window, channel, row, column
    np.testing.assert_allclose(colours[0, :, 0, 0], [1, 0, 0], atol=0.02)
    np.testing.assert_allclose(colours[1:, :, 2, 2], 1.0, atol=0.02)


def test_the_class_distribution_does_not_depend_on_which_features_are_kept() -> None:
    whole = GridExtractor(GridSettings(input_size=64, scales=(1,), features=("head",)))
    colours = GridExtractor(GridSettings(input_size=64, scales=(1,), features=("colour",)))
    ours, theirs = (one.detect([draw("red", "circle")])[0].class_probs for one in (whole, colours))
    np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize(
    ("size", "canvas"),
    [((100, 100), (256, 256)), ((300, 400), (192, 256)), ((400, 300), (256, 192)), ((9000, 10), (256, 192))],
)
def test_an_image_is_scaled_to_the_canvas_nearest_to_its_shape(size: tuple[int, int], canvas: tuple[int, int]) -> None:
    assert GridExtractor(GridSettings(input_size=256)).canvas(*size) == canvas


def test_build_extractor_is_the_inverse_of_the_info() -> None:
    settings = GridSettings(input_size=96, scales=(2, 1), overlap=0.25, features=("head", "colour"))
    extractor = GridExtractor(settings)
    for info in (
        extractor.info,
        extractor.info.to_dict(),
        json.loads(extractor.info.to_json()),
    ):
        again = build_extractor(info)
        assert again.settings == settings
        assert again.info == extractor.info
        assert again.info.fingerprint == extractor.info.fingerprint


def test_regions_that_were_imported_cannot_be_extracted() -> None:
    with pytest.raises(ConfigError, match="'detectron' cannot be extracted here"):
        build_extractor(ExtractorInfo("detectron", {}, 2048, 1601))


def test_an_unknown_setting_is_named() -> None:
    with pytest.raises(ConfigError, match="no setting 'colour_bins'"):
        build_extractor(ExtractorInfo("grid", {"input_size": 64, "colour_bins": 3}, 5, None))


def test_an_unknown_feature_is_named_with_the_known() -> None:
    with pytest.raises(ConfigError, match=r"no feature 'stride4'.*colour, stride8, stride16, head"):
        GridExtractor(GridSettings(features=("head", "stride4")))


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"input_size": 100}, "input_size"),
        ({"input_size": 32}, "input_size"),
        ({"features": ()}, "features"),
        ({"scales": (7,)}, "49 windows"),
        ({"overlap": 1.0}, "overlap"),
        ({"backbone": "resnet"}, "backbone"),
    ],
)
def test_an_impossible_setting_is_named(values: dict, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        GridExtractor(GridSettings(**values))
