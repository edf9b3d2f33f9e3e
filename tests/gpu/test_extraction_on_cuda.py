"""A GPU describes the regions that a CPU describes, and the command writes the same store."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tests.extraction.frcnn.checks import TINY
from tests.extraction.frcnn.conftest import small_depth, write_port  # noqa: F401  (a fixture)
from tests.extraction.test_grid import noise
from tests.extraction.tiny_detectors import MAKERS, QUERIES, save_detector

from interbert.cli.main import main
from interbert.extraction.detectors import open_detector
from interbert.extraction.frcnn.extractor import open_frcnn
from interbert.extraction.grid import GridExtractor, GridSettings
from interbert.extraction.settings import DetectorSettings, FrcnnSettings
from interbert.regions.schema import Regions
from interbert.regions.store import RegionStore

SIZES = [(60, 80), (80, 60), (70, 70), (300, 40), (640, 480), (61, 79)] * 3
BOXES = np.array([[2, 3, 30, 31], [0, 0, 33, 40], [10.5, 5.25, 20.75, 25]], dtype=np.float32)


@pytest.fixture(scope="module")
def images() -> list[Image.Image]:
    return [noise(*size, seed=seed) for seed, size in enumerate(SIZES)]


def require_alike(ours: list[Regions], theirs: list[Regions], tolerance: float = 0.02) -> None:
    """Boxes to a hundredth of a pixel, what describes them as far as TF32 convolutions agree with float32 ones."""
    assert len(ours) == len(theirs)
    for one, other in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(one.boxes, other.boxes, atol=0.01)
        assert one.features.dtype == np.float16
        for name in ("features", "class_probs"):
            found, expected = (getattr(side, name).astype(np.float64) for side in (one, other))
            assert np.linalg.norm(found - expected) <= tolerance * np.linalg.norm(expected), name


def test_windows(images: list[Image.Image]) -> None:
    settings = GridSettings(input_size=128)
    extractor = GridExtractor(settings)
    assert extractor.device == "cuda"
    require_alike(extractor.detect(images), GridExtractor(settings, device="cpu").detect(images))


def test_given_boxes(images: list[Image.Image]) -> None:
    boxes = [BOXES[: 1 + number % 3] for number in range(len(images))]
    found = [GridExtractor(device=device).encode(images, boxes) for device in ("cuda", "cpu")]
    require_alike(*found)


@pytest.mark.parametrize("name", MAKERS)
def test_detectors(name: str, images: list[Image.Image], tmp_path: Path) -> None:
    """All queries, wherever they come: random weights make some nearly equal, and rounding decides their order."""
    settings = DetectorSettings(str(save_detector(name, tmp_path)), min_boxes=QUERIES, max_boxes=QUERIES)
    cuda, cpu = (open_detector(settings, device).detect(images) for device in ("cuda", "cpu"))
    for one, other in zip(cuda, cpu, strict=True):
        assert one.validate("here").boxes.shape == other.boxes.shape == (QUERIES, 4)
        distances = np.abs(one.boxes[:, None] - other.boxes[None]).max(axis=2) / max(one.width, one.height)
        assert np.median(distances.min(axis=1)) < 0.01
        found, expected = (side.features.astype(np.float64).mean(axis=0) for side in (one, other))
        assert np.linalg.norm(found - expected) <= 0.05 * np.linalg.norm(expected)


def test_the_papers_detector(images: list[Image.Image], tmp_path: Path) -> None:
    settings = FrcnnSettings(str(write_port(tmp_path / "frcnn", TINY)))
    cuda, cpu = (open_frcnn(settings, device) for device in ("cuda", "cpu"))
    boxes = [BOXES[: 1 + number % 3] for number in range(len(images))]
    require_alike(cuda.encode(images, boxes), cpu.encode(images, boxes))
    found = cuda.detect(images)
    assert [len(one.boxes) > 0 for one in found] == [True] * len(images)
    for one in found:
        one.validate("here")


def test_the_command_writes_the_same_store(shop: Path, tmp_path: Path) -> None:
    words = ["--text-columns", "title,title_zh", "--image-id-column", "id", "--input-size", "64", "--mirrored", "true"]
    for device in ("cuda", "cpu"):
        assert main(["extract", str(shop), str(tmp_path / device), *words, "--device", device]) == 0
    cuda, cpu = (RegionStore.open(tmp_path / device) for device in ("cuda", "cpu"))
    assert cuda.fingerprint == cpu.fingerprint
    listed = [[(one.image_id, one.view, one.texts) for one in store.captions()] for store in (cuda, cpu)]
    assert listed[0] == listed[1]
    assert len(listed[0]) == 48
    require_alike(cuda.take(range(48)), cpu.take(range(48)))
