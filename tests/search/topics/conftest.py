"""Regions of the small shop, for what reads titles."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.search.conftest import source_of

from interbert.checkpoints.directory import load_processor
from interbert.extraction.extract import extract_to_store
from interbert.extraction.extractor import build_extractor


@pytest.fixture(scope="session")
def shop_regions(model: Path, priced: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Region store of the shop, by the tiny model's extractor."""
    out = tmp_path_factory.mktemp("topic-regions") / "shop"
    extractor = build_extractor(load_processor(model).extractor_info)
    extract_to_store(source_of(priced), out, extractor, progress=False)
    return out
