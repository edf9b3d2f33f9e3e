"""Many images are described by OpenVINO, as torch describes a few."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from tests.conftest import draw

pytest.importorskip("openvino")

from interbert.extraction import openvino_maps
from interbert.extraction.efficientnet import EfficientNetLite0
from interbert.extraction.extract import extract_to_store
from interbert.extraction.given import GivenExtractor
from interbert.extraction.grid import GridExtractor, GridSettings
from interbert.extraction.openvino_maps import OpenVinoMaps, maps_for_many
from interbert.extraction.sources import open_source
from interbert.regions.store import RegionStore

SETTINGS = GridSettings(input_size=64, scales=(1, 2))


@pytest.fixture(scope="module")
def backbone() -> EfficientNetLite0:
    return EfficientNetLite0()


@pytest.mark.parametrize("shape", [(1, 64, 64), (3, 96, 64), (2, 64, 160)])
def test_maps_are_those_of_torch(backbone: EfficientNetLite0, shape: tuple[int, int, int]) -> None:
    count, height, width = shape
    generator = torch.Generator().manual_seed(1)
    images = 255 * torch.rand(count, 3, height, width, generator=generator)
    ours = OpenVinoMaps(backbone)(images.contiguous(memory_format=torch.channels_last))
    with torch.inference_mode():
        wanted = backbone.maps(images)
    assert list(ours) == list(wanted)
    for name, one in ours.items():
        torch.testing.assert_close(one, wanted[name], rtol=1e-4, atol=1e-4)


def test_a_result_stays_as_it_is_after_the_next(backbone: EfficientNetLite0) -> None:
    maps = OpenVinoMaps(backbone)
    first = maps(torch.zeros(1, 3, 64, 64))["head"]
    kept = first.clone()
    maps(torch.full((1, 3, 64, 64), 255.0))
    torch.testing.assert_close(first, kept)


def test_few_images_and_other_networks_are_left_to_torch(
    backbone: EfficientNetLite0, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert maps_for_many(backbone, 511) is None
    assert maps_for_many(object(), 10_000) is None
    assert maps_for_many(backbone, 512) is not None
    monkeypatch.setattr(openvino_maps, "import_unreported", lambda name: __import__("no_such_package"))
    assert maps_for_many(backbone, 512) is None


def test_what_computes_something_else_is_not_used(
    backbone: EfficientNetLite0, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    usual = OpenVinoMaps.__call__
    monkeypatch.setattr(
        OpenVinoMaps, "__call__", lambda self, images: {name: 1.01 * one for name, one in usual(self, images).items()}
    )
    with caplog.at_level("INFO"):
        assert maps_for_many(backbone, 512) is None
    assert "other features than torch" in caplog.text


def test_an_extraction_of_many_gives_the_regions_of_one_of_few(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "images"
    folder.mkdir()
    for place, colour in enumerate(("red", "green", "blue")):
        draw(colour, "circle").save(folder / f"{place}.png")
    used: list[int] = []
    usual = OpenVinoMaps.__call__

    def noted(self: OpenVinoMaps, images: torch.Tensor) -> dict[str, torch.Tensor]:
        used.append(len(images))
        return usual(self, images)

    monkeypatch.setattr(OpenVinoMaps, "__call__", noted)
    found = []
    for name, worth_it in (("few", 4), ("many", 3)):
        monkeypatch.setattr(openvino_maps, "_WORTH_IT", worth_it)
        extract_to_store(
            open_source(str(folder), need_texts=False), tmp_path / name, GridExtractor(SETTINGS), need_texts=False
        )
        assert bool(used) == (name == "many")
        found.append(RegionStore.open(tmp_path / name).take([0, 1, 2]))
    for few, many in zip(*found, strict=True):
        np.testing.assert_array_equal(few.boxes, many.boxes)
        np.testing.assert_allclose(few.features.astype(float), many.features.astype(float), rtol=2e-3, atol=1e-3)


def test_given_boxes_are_described_by_it_too(monkeypatch: pytest.MonkeyPatch) -> None:
    grid = GridExtractor(SETTINGS)
    boxes = [np.array([[2, 2, 20, 20]], dtype=np.float32)]
    images = [draw("red", "circle")]
    wanted = grid.encode(images, boxes)[0]
    extractor = GivenExtractor(grid)
    extractor.expect(512)
    assert isinstance(grid._maps, OpenVinoMaps)
    ours = extractor.encode(images, boxes)[0]
    np.testing.assert_allclose(ours.features.astype(float), wanted.features.astype(float), rtol=2e-3, atol=1e-3)
