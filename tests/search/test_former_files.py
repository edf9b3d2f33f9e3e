"""What commit 008939d wrote is read, and what is written has its names: columns and keys are literal here."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import lance
import pytest
import torch
from tests.conftest import draw

from interbert import InterBertForImageTextRetrieval, InterBertProcessor
from interbert.report.runs import text_columns_of
from interbert.search.manifest import Manifest

MANIFEST = (
    '{"table": "products_0000", "model": "model", "model_fingerprint": "cd07907a1dbf8448", "source": "shop.parquet", '
    '"vector_size": 8, "stored_size": 16, "largest_norm": 1.0, "hidden_size": 24, "coding": "int8", "columns": '
    '[{"name": "price", "field": "m_price", "kind": "number"}], "aliases": {"id": "product_id"}, "mapping": '
    '{"picture": "image", "texts": ["title"], "product_id": "id", "picture_id": null}, "mirrored": false, '
    '"complete": true, "format": 1}'
)


def test_a_manifest_keeps_its_keys() -> None:
    manifest = Manifest.from_json(MANIFEST, "index")
    assert manifest.token_quantisation == "int8"
    written = json.loads(manifest.to_json())
    assert written.keys() == json.loads(MANIFEST).keys()
    assert {name: written[name] for name in ("coding", "mapping")} == {
        name: json.loads(MANIFEST)[name] for name in ("coding", "mapping")
    }


def test_tables_keep_their_columns(built: Path) -> None:
    (table,) = (one for one in built.glob("*.lance") if one.name != "manifest.lance")
    assert lance.dataset(str(table)).schema.names[:8] == [
        *("picture_id", "product_id", "digest", "texts", "fulltext", "vector", "regions", "thumbnail")
    ]


def test_a_model_with_the_former_name_of_the_weight_scores_the_same(model: Path, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    shutil.copytree(model, folder)
    config = json.loads((folder / "config.json").read_text())
    config["dual_prior"] = config.pop("dual_score_weight")
    (folder / "config.json").write_text(json.dumps(config))
    processor = InterBertProcessor.from_pretrained(folder)
    inputs = processor(text="a red circle", images=draw("red", "circle"))
    now, before = (InterBertForImageTextRetrieval.from_pretrained(place).eval() for place in (model, folder))
    assert before.config.dual_score_weight == now.config.dual_score_weight == 2.0
    assert torch.equal(now.score(**inputs), before.score(**inputs))
    before.config.dual_prior = 0.5
    assert before.config.dual_score_weight == 0.5


@pytest.mark.parametrize("name", ["texts", "text_columns"])
def test_recipes_of_earlier_runs_name_their_texts(name: str) -> None:
    assert text_columns_of({name: ["title"]}) == ["title"]
