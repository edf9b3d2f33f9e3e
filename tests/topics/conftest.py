"""Regions of the small shop, for what reads titles; its index with a model that was taught topics."""
# ruff: noqa: F401, F811 (fixtures)

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from tests.search.conftest import built, index_path, make_model, model, priced, source_of

from interbert.checkpoints.directory import load_processor
from interbert.extraction.extract import extract_to_store
from interbert.extraction.extractor import build_extractor
from interbert.topics.fit import fit_topics
from interbert.topics.recommend import PageSettings, TopicRecommender
from interbert.topics.topic_file import Topic
from interbert.topics.topic_memory import FILE

TOPICS = [
    Topic("red", ("red paper", "红色"), relevant={"colour": ["red"]}),
    Topic("circle", ("a circle on white paper",), where="price < 20", relevant={"colour": ["blue", "red"]}),
    Topic("gone", ("square",), relevant={"colour": ["pink"]}),
]
FULL = PageSettings(min_probability=0.0, duplicates=None, top_k=10)


@pytest.fixture(scope="session")
def shop_regions(model: Path, priced: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Region store of the shop, by the tiny model's extractor."""
    out = tmp_path_factory.mktemp("topic-regions") / "shop"
    extractor = build_extractor(load_processor(model).extractor_info)
    extract_to_store(source_of(priced), out, extractor, progress=False)
    return out


@pytest.fixture(scope="session")
def taught(model: Path, shop_regions: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the tiny model that was taught topics."""
    folder = Path(shutil.copytree(model, tmp_path_factory.mktemp("taught") / "model"))
    fit_topics(folder, str(shop_regions))
    return folder


@pytest.fixture
def index(taught: Path, index_path: Path) -> Path:
    """The shop's index, whose own copy of the model was taught topics."""
    shutil.copyfile(taught / FILE, next((index_path / "models").iterdir()) / FILE)
    return index_path


@pytest.fixture
def recommender(index: Path) -> TopicRecommender:
    return opened(index)


def opened(index: Path, examples: Path | None = None) -> TopicRecommender:
    return TopicRecommender.open(index, examples=examples)
