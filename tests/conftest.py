"""Images, region stores and tiny models that tests share; no network, no GPU, seconds at most."""

from __future__ import annotations

import os

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("HF_DATASETS_DISABLE_PROGRESS_BARS", "1")
os.environ.setdefault(
    "INTERBERT_EXPORT", "0"
)  # seconds an index, and OpenVINO beside training (tests/export has its own)

import torch

if not torch.cuda.is_available():
    os.environ.setdefault("TRITON_INTERPRET", "1")  # before anything imports Triton: its kernels then run on the CPU

import io
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image, ImageDraw

from interbert.model.configuration import InterBertConfig
from tests import postgres

SLOW_FILES = (
    *("training/test_processes.py", "training/test_compiled.py", "test_readme.py", "extraction/test_on_ray.py"),
    *("export/test_onnx.py", "demo/test_pipeline.py", "training/test_training.py", "model/test_short_attention.py"),
    *("test_examples.py", "test_site.py"),
)
"""Files that take half a minute or more, the slowest first."""


AT_LENGTH = pytest.mark.skipif(
    "INTERBERT_SLOW_TESTS" not in os.environ, reason="takes minutes: INTERBERT_SLOW_TESTS=1 runs it"
)
"""Of tests that take minutes of both cores, whose paths shorter ones take, too."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the slowest files, so that no process is left alone with one at the end (``make test``)."""
    root = Path(__file__).parent
    places = {root / file: place for place, file in enumerate(SLOW_FILES)}
    items.sort(key=lambda item: places.get(item.path, len(places)))


@pytest.fixture(scope="session")
def postgres_url() -> Iterator[str]:
    """SQLAlchemy's URL of a PostgreSQL server: the one that INTERBERT_TEST_POSTGRES names, or one for these tests."""
    given = os.environ.get("INTERBERT_TEST_POSTGRES")
    if given:
        yield given
    elif postgres.programs() is None:
        pytest.skip("PostgreSQL is not installed (Debian: apt-get install postgresql)")
    else:
        with postgres.server() as url:
            yield url


COLOURS = {
    "red": "红色",
    "green": "绿色",
    "blue": "蓝色",
    "yellow": "黄色",
    "purple": "紫色",
    "orange": "橙色",
    "black": "黑色",
    "grey": "灰色",
}
SHAPES = {"circle": "圆形", "square": "方形", "triangle": "三角形"}


def draw(colour: str, shape: str, size: tuple[int, int] = (60, 80)) -> Image.Image:
    """A coloured shape on white."""
    image = Image.new("RGB", size, "white")
    pen = ImageDraw.Draw(image)
    left, top, right, bottom = size[0] // 6, size[1] // 6, size[0] * 5 // 6, size[1] * 5 // 6
    if shape == "circle":
        pen.ellipse((left, top, right, bottom), fill=colour)
    elif shape == "square":
        pen.rectangle((left, top, right, bottom), fill=colour)
    else:
        pen.polygon(((size[0] // 2, top), (right, bottom), (left, bottom)), fill=colour)
    return image


def file_bytes(image: Image.Image, kind: str = "PNG") -> bytes:
    """An image as a file."""
    out = io.BytesIO()
    image.save(out, kind)
    return out.getvalue()


def shop_rows() -> list[dict[str, object]]:
    """24 products: every colour with every shape."""
    return [
        {
            "image": {"bytes": file_bytes(draw(colour, shape)), "path": f"{colour}-{shape}.png"},
            "title": f"a {colour} {shape} on white paper",
            "title_zh": f"白纸上的{colour_zh}{shape_zh}",
            "id": f"{colour}-{shape}",
        }
        for shape, shape_zh in SHAPES.items()
        for colour, colour_zh in COLOURS.items()
    ]


TINY_SIZES = {
    "vocab_size": 60,
    "hidden_size": 24,
    "num_attention_heads": 4,
    "intermediate_size": 40,
    "num_interaction_layers": 2,
    "num_text_layers": 1,
    "num_image_layers": 1,
    "image_num_attention_heads": 3,
    "image_intermediate_size": 32,
    "max_position_embeddings": 20,
    "region_feature_size": 10,
    "num_region_classes": 7,
    "pooler_size": 16,
    "initializer_range": 0.3,
}


def tiny_config(**values: object) -> InterBertConfig:
    """A configuration whose models take no time; ``values`` replace its own."""
    return InterBertConfig(**(TINY_SIZES | values))


@pytest.fixture(scope="session")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Parquet file of the 24 products: columns image, title, title_zh, id."""
    path = tmp_path_factory.mktemp("shop") / "shop.parquet"
    pq.write_table(pa.Table.from_pylist(shop_rows()), path)
    return path


@pytest.fixture(scope="session")
def shop_store(shop: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Region store of the shop: 5 windows an image, both titles."""
    from interbert.extraction.columns import ColumnMapping
    from interbert.extraction.extract import extract_to_store
    from interbert.extraction.grid import GridExtractor, GridSettings
    from interbert.extraction.sources import open_source

    out = tmp_path_factory.mktemp("regions") / "shop"
    source = open_source(str(shop), ColumnMapping("image", ("title", "title_zh"), "id"))
    extract_to_store(source, out, GridExtractor(GridSettings(input_size=64, scales=(1, 2))), progress=False)
    return out


@pytest.fixture(scope="session")
def tiny_bert(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Directory of a random BERT, H 32, 2 layers, with MiniLM's vocabulary."""
    from transformers import BertConfig, BertForMaskedLM

    from interbert.checkpoints.bert import bert_tokenizer

    folder = str(tmp_path_factory.mktemp("tiny-bert"))
    tokenizer = bert_tokenizer("minilm")
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=64,
        max_position_embeddings=64,
    )
    BertForMaskedLM(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture
def float32(monkeypatch: pytest.MonkeyPatch) -> None:
    """Scores in float32, whatever this machine multiplies in hardware."""
    from interbert.model import scoring

    monkeypatch.setattr(scoring, "cpu_has_bf16", lambda: False)
