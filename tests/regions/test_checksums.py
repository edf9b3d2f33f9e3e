from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import lance
import numpy as np
import pyarrow as pa
import pytest
from tests.regions.test_layout import old_store
from tests.regions.test_store import INFO, assert_same, files, filled, record

from interbert.errors import RegionError, StoreError
from interbert.regions.conversion import to_table
from interbert.regions.store import RegionStore


def tampered(path: Path, change: Callable[[dict[str, Any]], None], top: int | None = None) -> RegionStore:
    """A store whose second row was changed after its checksums were taken."""
    store = RegionStore.create(path, INFO, top)
    table = to_table([record(row) for row in (4, 9, 14)], store.layout)
    rows = table.to_pylist()
    change(rows[1])
    store.append_table(pa.Table.from_pylist(rows, schema=store.layout.schema))
    return store


def flip(name: str) -> Callable[[dict[str, Any]], None]:
    def change(row: dict[str, Any]) -> None:
        value = row[name][0][0]
        row[name][0][0] = value + 1 if isinstance(value, int) else type(value)(value * 2 + 0.5)

    return change


@pytest.mark.parametrize(
    ("change", "top"),
    [
        (flip("boxes"), None),
        (flip("features"), None),
        (flip("class_probs"), None),
        (flip("class_ids"), 2),
        (flip("class_shares"), 2),
        (lambda row: row.update(width=row["width"] + 1), None),
        (lambda row: row["features"].reverse(), None),
        (lambda row: [row[name].pop() for name in ("boxes", "features", "class_probs")], None),
        (lambda row: row.update(class_probs=None), None),
        (lambda row: row.update(regions_checksum=row["regions_checksum"] ^ 1), None),
    ],
    ids=["box", "feature", "class", "class id", "share", "width", "order", "one less", "no classes", "checksum"],
)
def test_regions_that_are_not_what_was_written_are_refused_and_their_row_named(
    tmp_path: Path, change: Callable[[dict[str, Any]], None], top: int | None
) -> None:
    store = tampered(tmp_path / "s", change, top)
    with pytest.raises(StoreError, match=f"{tmp_path / 's'}, row 1: its regions are not what was written.*verify"):
        store.take([0, 1])
    assert len(store.take([0, 2])) == 2


@pytest.mark.parametrize(
    "change",
    [
        lambda row: row.update(picture_id="p8"),
        lambda row: row.update(product_id=""),
        lambda row: row.update(digest="0" * 64),
        lambda row: row.update(view=1),
        lambda row: row.update(source_row=3),
        lambda row: row.update(texts=["other"], text_fields=["title"]),
        lambda row: row.update(row_checksum=row["row_checksum"] ^ 1),
        lambda row: row.update(regions_checksum=row["regions_checksum"] ^ 1),
    ],
)
def test_texts_and_ids_that_are_not_what_was_written_are_refused(
    tmp_path: Path, change: Callable[[dict[str, Any]], None]
) -> None:
    store = tampered(tmp_path / "s", change)
    with pytest.raises(StoreError, match=f"{tmp_path / 's'}, row 1: its texts or ids are not what was written"):
        list(store.captions())


def test_regions_in_the_row_of_another_image_are_noticed(tmp_path: Path) -> None:
    store = RegionStore.create(tmp_path / "s", INFO)
    table = to_table([record(4), record(9)], store.layout)
    moved = ["width", "height", "boxes", "features", "class_probs", "regions_checksum"]
    for name in moved:
        place = table.schema.get_field_index(name)
        table = table.set_column(
            place, table.schema.field(name), pa.chunked_array([table[name].combine_chunks()[::-1]])
        )
    store.append_table(table)
    assert len(store.take([0, 1])) == 2  # each is whole
    with pytest.raises(StoreError, match="row 0: its texts or ids"):
        list(store.captions())


def test_no_flipped_bit_of_a_data_file_goes_unnoticed_or_crashes(tmp_path: Path) -> None:
    filled(tmp_path / "s", 12)
    wanted = [record(row) for row in range(12)]
    file = files(tmp_path / "s", "data/*.lance")[-1]
    content = file.read_bytes()
    generator, refused = random.Random(0), list[str]()
    for _ in range(120):
        changed = bytearray(content)
        changed[generator.randrange(len(content))] ^= 1 << generator.randrange(8)
        file.write_bytes(changed)
        store = RegionStore.open(tmp_path / "s")
        try:
            taken, captions = store.take(range(12)), list(store.captions())
        except (StoreError, RegionError) as error:
            refused.append(str(error))
            continue
        for regions, caption, one in zip(taken, captions, wanted, strict=True):
            assert_same(regions, one.regions)
            assert (caption.image_id, caption.texts, caption.digest) == (one.image_id, one.texts, one.digest)
    assert len(refused) > 40
    assert all(str(tmp_path / "s") in message for message in refused)


def test_a_store_without_checksums_is_not_checked(tmp_path: Path) -> None:
    store = old_store(tmp_path / "s")
    rows = lance.dataset(str(tmp_path / "s")).to_table().to_pylist()
    rows[0]["features"][0][0] = np.float16(7)
    lance.write_dataset(pa.Table.from_pylist(rows, schema=store.layout.schema), str(tmp_path / "s"), mode="overwrite")
    assert RegionStore.open(tmp_path / "s").take([0])[0].features[0, 0] == 7
