"""Stores in buckets, over the real protocol: a server on loopback."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from tests.buckets import bucket_on_loopback

from interbert.cli.main import main
from interbert.errors import StoreError
from interbert.regions.schema import RegionRecord
from interbert.regions.store import RegionStore


@pytest.fixture(scope="module")
def bucket() -> Iterator[str]:
    with bucket_on_loopback("regions") as uri:
        yield uri


def copied(shop_store: Path, target: str) -> RegionStore:
    ours = RegionStore.open(shop_store)
    theirs = RegionStore.create(target, ours.info)
    records = []
    for one, regions in zip(ours.captions(), ours.take(range(len(ours))), strict=True):
        fields = {name: value for name, value in vars(one).items() if name != "row"}
        records.append(RegionRecord(**fields, regions=regions))
    theirs.append(records[:10])
    theirs.append(records[10:])
    return theirs


def test_a_store_in_a_bucket_reads_as_a_folder_does(bucket: str, shop_store: Path) -> None:
    theirs, ours = copied(shop_store, f"{bucket}/shop"), RegionStore.open(shop_store)
    assert list(theirs.captions()) == list(ours.captions())
    for first, second in zip(RegionStore.open(f"{bucket}/shop").take([5, 1]), ours.take([5, 1]), strict=True):
        assert np.array_equal(first.features, second.features)
    with pytest.raises(StoreError, match="there is a store already"):
        RegionStore.create(f"{bucket}/shop", ours.info)
    with pytest.raises(StoreError, match=f"{bucket}/absent"):
        RegionStore.open(f"{bucket}/absent")


def test_training_reads_a_bucket_and_a_folder_together(
    bucket: str, shop_store: Path, tiny_bert: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    copied(shop_store, f"{bucket}/train")
    words = ["pretrain", f"{bucket}/train", str(tmp_path / "m"), "--init-from", tiny_bert, "--training.max-steps=2"]
    words += ["--more-regions", f'{{"{shop_store}": 0.5}}', "--training.batch-size=8", "--validation-share=0.2"]
    words += ["--warm-start.head-epochs=0", "--warm-start.epochs=0"]
    assert main(words) == 0, capsys.readouterr().err
    assert "kept: step" in capsys.readouterr().out
