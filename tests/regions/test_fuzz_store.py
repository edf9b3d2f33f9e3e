"""A region store with damaged files: its rows, or an error that names it; nothing else happens."""

from __future__ import annotations

import random
import shutil
from pathlib import Path

import numpy as np
import pytest
from tests.regions.importers.damage import damaged, rounds
from tests.regions.importers.writers import SIZE, images

from interbert.errors import RegionError, StoreError
from interbert.regions.schema import ExtractorInfo, RegionRecord, Regions
from interbert.regions.store import RegionStore


def filled(path: Path) -> RegionStore:
    store = RegionStore.create(path, ExtractorInfo("x", {}, SIZE, 4))
    for first in (0, 4):
        made = enumerate(images(4, first=first))
        store.append(
            [
                RegionRecord(one.name, one.name, "", 0, row, one.texts, ("caption",) * 2, regions)
                for row, one in made
                for regions in [
                    Regions(
                        one.boxes,
                        one.features.astype(np.float16),
                        np.full((len(one.boxes), 4), 0.25, np.float16),
                        one.width,
                        one.height,
                    )
                ]
            ]
        )
    return store


def refusal(path: Path) -> str | None:
    """Why a store cannot be read whole; None when it can."""
    try:
        store = RegionStore.open(path)
        list(store.captions())
        store.existing_keys()
        store.take(range(len(store)))
    except (StoreError, RegionError) as error:
        return str(error)
    return None


@pytest.mark.filterwarnings("ignore")
def test_a_damaged_store_is_read_or_named(tmp_path: Path) -> None:
    filled(tmp_path / "whole")
    files = sorted(file.relative_to(tmp_path / "whole") for file in (tmp_path / "whole").rglob("*") if file.is_file())
    manifests = [file for file in files if file.suffix == ".manifest"]
    reasons = []
    for seed in rounds(100):
        shutil.copytree(tmp_path / "whole", tmp_path / "s")
        file = tmp_path / "s" / random.Random(seed).choice(files if seed % 2 else manifests)
        file.write_bytes(damaged(file.read_bytes(), seed))
        reasons.append(refusal(tmp_path / "s"))
        shutil.rmtree(tmp_path / "s")
    refused = [reason for reason in reasons if reason is not None]
    assert 15 < len(refused) < len(reasons)
    assert all(reason.startswith(str(tmp_path / "s")) and "\n" not in reason for reason in refused)
