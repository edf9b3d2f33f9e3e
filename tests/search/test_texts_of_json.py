"""Texts of JSON that look like dates and numbers, from the file to the filter and back."""

from __future__ import annotations

import json
from pathlib import Path

from tests.conftest import draw, file_bytes

from interbert.extraction.columns import ColumnMapping
from interbert.extraction.sources import open_source
from interbert.search.build import build_index
from interbert.search.changes import update_columns
from interbert.search.index import ProductIndex


def test_ids_and_columns_that_look_like_dates(model: Path, tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(file_bytes(draw("red", "circle")))
    skus = ["2026-01-01", "000116", 412]
    days = ["2026-01-05", "2026-01-06", "2026-01-05"]
    rows = [
        {"image": "a.png", "title": f"title {sku}", "sku": sku, "launched": day, "price": "1"}
        for sku, day in zip(skus, days, strict=True)
    ]
    (tmp_path / "shop.jsonl").write_text("\n".join(map(json.dumps, rows)))
    source = open_source(str(tmp_path / "shop.jsonl"), ColumnMapping("image", ("title",), None, "sku"))
    build_index(model, source, tmp_path / "index")
    index = ProductIndex.open(tmp_path / "index")
    assert sorted(index.ids()) == ["000116", "2026-01-01", "412"]
    launched = next(column.field for column in index.metadata_columns if column.name == "launched")
    assert sorted(index.table.to_arrow()[launched].to_pylist()) == sorted(days)
    assert index.table.count_rows(index.condition("launched = '2026-01-05'")) == 2
    (tmp_path / "prices.csv").write_text("sku,price\n2026-01-01,2\n000116,3\n412,4\n")
    (tmp_path / "prices.json").write_text(json.dumps([{"sku": sku, "price": 5} for sku in skus]))
    for name in ("prices.csv", "prices.json"):
        changes = update_columns(tmp_path / "index", str(tmp_path / name), "sku")
        assert (changes.updated, changes.skipped) == (3, [])
