"""A tiny retrieval model and a small shop with prices, as an index."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from tests.conftest import shop_rows, tiny_config

from interbert.checkpoints.bert import bert_tokenizer
from interbert.extraction.columns import ColumnMapping
from interbert.extraction.grid import GridExtractor, GridSettings
from interbert.extraction.sources import ImageSource, open_source
from interbert.model.modeling import InterBertForImageTextRetrieval
from interbert.model.processing import InterBertProcessor
from interbert.model.region_inputs import InterBertRegionFeatureExtractor
from interbert.search.build import build_index

MAPPING = ColumnMapping("image", ("title", "title_zh"), None, "id")


@pytest.fixture(scope="session")
def make_model(tiny_bert: str, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Makes a random retrieval model with everything beside it; keywords are fields of its configuration."""

    def make(seed: int = 0, **fields: object) -> Path:
        folder = tmp_path_factory.mktemp("retrieval")
        extractor = GridExtractor(GridSettings(input_size=64, scales=(1, 2), features=("colour", "head")))
        tokenizer = bert_tokenizer(tiny_bert)
        torch.manual_seed(seed)
        sizes = {"vocab_size": len(tokenizer), "region_feature_size": extractor.info.feature_size}
        sizes |= {"contrastive_size": 8, "dual_score_weight": 2.0, "max_position_embeddings": 40}
        model = InterBertForImageTextRetrieval(tiny_config(**(sizes | fields)))
        if model.config.query_bank_size is not None:
            model.contrastive_head.query_bank = torch.nn.functional.normalize(torch.randn(5, 8), dim=-1)
        model.save_pretrained(folder)
        scaling = InterBertRegionFeatureExtractor(extractor.info.to_dict())
        InterBertProcessor(scaling, tokenizer).save_pretrained(folder)
        return folder

    return make


@pytest.fixture(scope="session")
def model(make_model: Callable[..., Path]) -> Path:
    return make_model(query_bank_size=5, hub_correction=0.4)


def priced_rows() -> list[dict[str, object]]:
    """The shop's 24 products with price, colour and stock."""
    rows = shop_rows()
    for place, row in enumerate(rows):
        colour = str(row["id"]).split("-")[0]
        row |= {"price": 5.0 + place, "colour": colour, "stock": place % 4, "sale": place % 2 == 0}
    return rows


def write_table(path: Path, rows: list[dict[str, object]]) -> Path:
    pq.write_table(pa.Table.from_pylist(rows), path)
    return path


def source_of(path: Path) -> ImageSource:
    return open_source(str(path), MAPPING, need_texts=False)


@pytest.fixture(scope="session")
def priced(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_table(tmp_path_factory.mktemp("priced") / "shop.parquet", priced_rows())


@pytest.fixture(scope="session")
def built(model: Path, priced: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An index of the shop, which no test changes."""
    path = tmp_path_factory.mktemp("built") / "index"
    build_index(model, source_of(priced), path)
    return path


@pytest.fixture
def index_path(built: Path, tmp_path: Path) -> Path:
    """A copy of the index to change."""
    return Path(shutil.copytree(built, tmp_path / "index"))
