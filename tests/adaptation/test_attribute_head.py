from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from tests.adaptation.test_backbone import options
from tests.conftest import shop_rows

from interbert.adaptation.backbone import LOG, finetune_backbone
from interbert.adaptation.heads import UNKNOWN, AttributeHead, Attributes
from interbert.errors import ColumnError, SourceError

WARM = ("red", "yellow", "orange", "purple")
ROWS = [("red", "circle"), ("blue", ""), ("red", "square"), ("", "circle")]


def test_values_become_numbers_and_unknown_ones_stay_unknown() -> None:
    attributes = Attributes.of(("colour", "shape"), ROWS)
    assert attributes.values == (("blue", "red"), ("circle", "square"))
    assert attributes.numbers.tolist() == [[1, 0], [0, UNKNOWN], [1, 1], [UNKNOWN, 0]]
    others = attributes.among([("green", "square"), ("blue", "circle")])
    assert others.values == attributes.values
    assert others.numbers.tolist() == [[UNKNOWN, 1], [0, 0]]
    assert Attributes.none(3).numbers.shape == (3, 0)


def test_the_loss_is_the_mean_over_columns_of_what_is_known() -> None:
    torch.manual_seed(0)
    head, features = AttributeHead(5, [2, 2]), torch.randn(4, 5)
    numbers = torch.from_numpy(Attributes.of(("colour", "shape"), ROWS).numbers)
    colour, shape = (one.log_softmax(dim=1) for one in head(features))
    by_hand = -(colour[0, 1] + colour[1, 0] + colour[2, 1]) / 3 - (shape[0, 0] + shape[2, 1] + shape[3, 0]) / 3
    torch.testing.assert_close(head.loss(features, numbers), by_hand / 2)
    nothing = torch.full_like(numbers, UNKNOWN)
    assert float(head.loss(features, nothing).detach()) == 0
    likeliest = torch.stack([one.argmax(dim=1) for one in head(features)], dim=1)
    assert head.correct(features, likeliest).tolist() == [4, 4]
    assert head.correct(features, 1 - likeliest).tolist() == [0, 0]
    assert head.correct(features, nothing).tolist() == [0, 0]


@pytest.fixture(scope="module")
def catalogue(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The shop three times, with a column of two values, one of a value for each product, and one of numbers."""
    rows = [
        row
        | {
            "id": f"{row['id']}-{copy}",
            "group": "one" if str(row["id"]).split("-")[0] in WARM else "other",
            "year": 2026,
        }
        for copy in range(3)
        for row in shop_rows()
    ]
    path = tmp_path_factory.mktemp("columns") / "shop.parquet"
    pq.write_table(pa.Table.from_pylist(rows), path)
    return path


def history(out: Path) -> list[dict[str, float]]:
    return [json.loads(line) for line in (out / LOG).read_text().splitlines()]


def test_columns_of_few_values_are_found_and_told(
    catalogue: Path, tiny_bert: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, logger="interbert")
    chosen = options(catalogue, tmp_path / "out", tiny_bert, head_epochs=20, validation=str(catalogue))
    finetune_backbone(replace(chosen, dropout=0.0, learning_rate=1e-5))
    assert "kinds of products in group" in caplog.text
    told = history(tmp_path / "out")
    assert all(0 < one["attributes"] < 10 for one in told[1:])  # features that never vary do not blow up
    assert told[-1]["group"] > 80  # half of the products have the more frequent value


def test_columns_can_be_named_and_left_unread(catalogue: Path, shop: Path, tiny_bert: str, tmp_path: Path) -> None:
    finetune_backbone(options(catalogue, tmp_path / "named", tiny_bert, columns=["year"], validation=str(shop)))
    assert "attributes" in history(tmp_path / "named")[-1]
    assert "year" not in history(tmp_path / "named")[-1]  # the validation products have no such column
    finetune_backbone(options(catalogue, tmp_path / "unread", tiny_bert, column_loss_weight=0.0))
    assert "attributes" not in history(tmp_path / "unread")[-1]
    with pytest.raises(ColumnError, match="colour"):
        finetune_backbone(options(catalogue, tmp_path / "missing", tiny_bert, columns=["colour"]))
    assert not (tmp_path / "missing" / "maps").exists()  # it is said before any image is read


def test_columns_named_twice_or_without_a_value_do_no_harm(shop: Path, tiny_bert: str, tmp_path: Path) -> None:
    rows = [row | {"fit": "N/A", "r@1": "new"} for row in shop_rows()]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "shop.parquet")
    named = ["r@1", "fit", "r@1"]
    finetune_backbone(options(tmp_path / "shop.parquet", tmp_path / "out", tiny_bert, columns=named, epochs=1))
    told = history(tmp_path / "out")[-1]
    assert "fit" not in told
    assert told["r@1"] < 100  # recall, and not the column's share, which one value makes 100
    assert Attributes.of(("fit", "colour"), [("", "red"), ("", "")]).columns == ("colour",)


def test_unknown_values_are_numbers_of_nothing() -> None:
    assert not np.isin(Attributes.of(("colour",), [("",), ("",)]).numbers, [0]).any()


def test_a_stopped_run_goes_on_with_the_values_of_its_images_though_the_source_was_sorted_anew(
    tiny_bert: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = shop_rows()
    seen: list[Sequence[Sequence[str]]] = []

    def stopping(_columns: Sequence[str], values: Sequence[Sequence[str]]) -> None:
        seen.append(values)
        raise KeyboardInterrupt

    monkeypatch.setattr("interbert.adaptation.backbone.Attributes.of", stopping)
    chosen = options(tmp_path / "shop.parquet", tmp_path / "out", tiny_bert, columns=["id"], product_id_column="id")
    for listed in (rows, rows[::-1]):
        pq.write_table(pa.Table.from_pylist(listed), tmp_path / "shop.parquet")
        with pytest.raises(KeyboardInterrupt):
            finetune_backbone(chosen)
    assert [len(set(values)) for values in seen] == [24, 24]
    assert seen[0] == seen[1]
    pq.write_table(pa.Table.from_pylist(rows[1:]), tmp_path / "shop.parquet")
    with pytest.raises(SourceError, match="1 images of it cannot be found"):
        finetune_backbone(chosen)
