"""An index whose vectors are means over images and their mirror images."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, ImageOps
from tests.conftest import draw, file_bytes
from tests.search.conftest import priced_rows, source_of, write_table

from interbert.extraction.columns import ColumnMapping
from interbert.extraction.extract import extract_to_store
from interbert.extraction.sources import ImageSource, open_source
from interbert.search.build import build_index
from interbert.search.changes import add_to_index
from interbert.search.index import ProductIndex
from interbert.search.query_encoder import ProductEncoder
from interbert.search.verify import verify_index
from interbert.topics.fit import fit_topics

DIRECTIONS = slice(0, 8)


def lopsided(colour: str, shape: str) -> Image.Image:
    """A shape with a grey left half of the ground, so that its mirror image is another image."""
    image = draw(colour, shape)
    image.paste("grey", (0, 0, image.width // 3, image.height))
    return image


def source(path: Path, flipped: bool) -> ImageSource:
    rows = priced_rows()
    for row in rows:
        image = lopsided(*str(row["id"]).split("-"))
        shown = ImageOps.mirror(image) if flipped else image
        row["image"] = {"bytes": file_bytes(shown), "path": "x.png"}
    return source_of(write_table(path, rows))


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> ImageSource:
    return source(tmp_path_factory.mktemp("plain") / "shop.parquet", flipped=False)


@pytest.fixture(scope="module")
def regions(model: Path, plain: ImageSource, tmp_path_factory: pytest.TempPathFactory) -> str:
    """Store with mirror images."""
    path = str(tmp_path_factory.mktemp("mirrored") / "regions")
    named = open_source(plain.name, ColumnMapping("image", ("title", "title_zh"), "id"))
    extract_to_store(named, path, ProductEncoder.load(model).extractor, mirrored=True, progress=False)
    return path


def index_of(path: Path) -> tuple[ProductIndex, np.ndarray]:
    index = ProductIndex.open(path)
    return index, index.vectors(sorted(index.ids()))


def test_vectors_are_means_with_a_hub_correction_of_their_own(model: Path, plain: ImageSource, tmp_path: Path) -> None:
    flipped = source(tmp_path / "flipped.parquet", flipped=True)
    build_index(model, plain, tmp_path / "plain")
    build_index(model, flipped, tmp_path / "flipped")
    build_index(model, plain, tmp_path / "both", mirrored=True)
    one, seen = index_of(tmp_path / "plain")
    _, turned = index_of(tmp_path / "flipped")
    both, means = index_of(tmp_path / "both")
    assert np.abs(seen - turned)[:, DIRECTIONS].max() > 0.05
    wanted = (seen + turned)[:, DIRECTIONS]
    wanted /= np.linalg.norm(wanted, axis=1, keepdims=True)
    np.testing.assert_allclose(means[:, DIRECTIONS], wanted, atol=2e-3)
    encoder = ProductEncoder.load(model)
    with torch.no_grad():
        hubness = encoder.model.contrastive_head.hubness(torch.from_numpy(wanted)).numpy()
    np.testing.assert_allclose(means[:, 8], -0.4 * hubness, atol=2e-3)
    name = one.ids()[0]
    np.testing.assert_array_equal(both.regions([name])[0], one.regions([name])[0])  # what the joint pass sees
    assert verify_index(both, encoder).problems == []


def test_an_image_is_sought_by_both_its_views(model: Path) -> None:
    encoder, image = ProductEncoder.load(model), lopsided("red", "circle")
    query, turned = (encoder.image_vector(one, mirrored=True) for one in (image, ImageOps.mirror(image)))
    np.testing.assert_allclose(query, turned, atol=1e-5)
    assert np.abs(query - encoder.image_vector(image)).max() > 1e-3


def test_mirror_images_of_a_store_are_taken_and_later_images_treated_alike(
    model: Path, plain: ImageSource, regions: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    build_index(model, plain, tmp_path / "both", mirrored=True)
    _, means = index_of(tmp_path / "both")
    extractor = type(ProductEncoder.load(model).extractor)
    with monkeypatch.context() as patch:
        patch.setattr(extractor, "detect", None)
        build_index(model, plain, tmp_path / "stored", regions=regions, mirrored=True)
    _, stored = index_of(tmp_path / "stored")
    np.testing.assert_allclose(stored, means, atol=2e-3)
    flipped = source(tmp_path / "flipped.parquet", flipped=True)
    assert add_to_index(tmp_path / "stored", flipped).replaced == 24
    _, turned = index_of(tmp_path / "stored")
    np.testing.assert_allclose(turned, means, atol=2e-3)


def test_examples_of_topics_are_means_where_their_store_has_mirror_images(
    model: Path, plain: ImageSource, regions: str, tmp_path: Path
) -> None:
    build_index(model, plain, tmp_path / "both", mirrored=True)
    index = ProductIndex.open(tmp_path / "both")
    memory = fit_topics(next((tmp_path / "both" / "models").iterdir()), regions)
    ids = [str(row["id"]) for row in priced_rows()]
    np.testing.assert_allclose(memory.examples.images, index.vectors(ids)[:, DIRECTIONS], atol=2e-3)
