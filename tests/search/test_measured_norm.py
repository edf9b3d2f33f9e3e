from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from tests.conftest import draw

from interbert.extraction.sources import open_source
from interbert.regions.schema import Regions
from interbert.search import products
from interbert.search.products import KnownRegions, measured_norm


class _Encoder:
    """An image's vector is as long as its largest colour."""

    def views(self, views: list[tuple[Regions, ...]], where: list[str]) -> tuple[np.ndarray, list[None]]:
        return np.array([[one[0].features.max()] for one in views]), [None] * len(views)


def test_of_a_sorted_source_the_length_is_that_of_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in range(200):  # the dark ones come first
        draw("black" if name < 150 else "white", "square", (8, 8)).convert("L").point(
            lambda value, dark=name < 150: 1 if dark else value
        ).convert("RGB").save(tmp_path / f"{name:03}.png")

    def regions(_: KnownRegions, chunk: list[products.DecodedImage]) -> list[tuple[Regions, ...]]:
        size = np.ones((1, 4), dtype=np.float32)
        return [(Regions(size, np.asarray(one.image).reshape(1, -1), None, 8, 8),) for one in chunk]

    monkeypatch.setattr(KnownRegions, "of", regions)
    source = open_source(str(tmp_path), need_texts=False)
    found = measured_norm(_Encoder(), source)  # type: ignore[arg-type]
    assert found == pytest.approx(1.25 * 255)
    assert found == measured_norm(_Encoder(), source)  # type: ignore[arg-type]
