from __future__ import annotations

import pickle
from dataclasses import replace
from pathlib import Path

import lance
import numpy as np
import pyarrow as pa
import pytest
from tests.regions.test_store import INFO, assert_same, filled, record

from interbert.errors import ConfigError, StoreError
from interbert.regions.layout import LAYOUT_VERSION, RowLayout
from interbert.regions.store import RegionStore

OLD = RowLayout(INFO, checksums=False, version=1)
"""As stores were laid out before there were checksums."""


def old_store(path: Path, rows: int = 5) -> RegionStore:
    lance.write_dataset(OLD.schema.empty_table(), str(path), schema=OLD.schema)
    store = RegionStore.open(path)
    store.append([record(row) for row in range(rows)])
    return store


def test_the_old_layout_is_what_it_was() -> None:
    names = "picture_id product_id digest view source_row texts text_fields width height boxes features class_probs"
    assert OLD.schema.names == names.split()
    assert set(OLD.schema.metadata) == {b"interbert.extractor"}


def test_a_store_without_checksums_is_read_and_added_to_in_its_own_layout(tmp_path: Path) -> None:
    store = old_store(tmp_path / "s")
    assert (store.layout.version, store.layout.checksums, store.layout.top_k_classes) == (1, False, None)
    store = RegionStore.open_or_create(tmp_path / "s", INFO)
    store.append([record(5)])
    assert lance.dataset(str(tmp_path / "s")).schema.names == OLD.schema.names
    for row, regions in enumerate(store.take(range(6))):
        assert_same(regions, record(row).regions)
    assert [one.image_id for one in store.captions()] == [f"p{row}" for row in range(6)]


def test_a_layout_is_read_back_from_its_schema_and_pickles(tmp_path: Path) -> None:
    for top in (None, 2):
        made = RegionStore.create(tmp_path / str(top), INFO, top).layout
        assert made == RowLayout.new(INFO, top)
        assert made.made_by is not None
        assert "pylance" in made.made_by
        assert pickle.loads(pickle.dumps(made)).schema.equals(made.schema, check_metadata=True)


def test_a_newer_layout_is_refused_with_what_to_do(tmp_path: Path) -> None:
    newer = RowLayout(INFO, version=LAYOUT_VERSION + 1)
    lance.write_dataset(newer.schema.empty_table(), str(tmp_path / "s"), schema=newer.schema)
    with pytest.raises(StoreError, match=rf"{tmp_path / 's'}: has layout {LAYOUT_VERSION + 1}, .*newer"):
        RegionStore.open(tmp_path / "s")


@pytest.mark.parametrize("column", ["features", "class_probs", "row_checksum", "texts"])
def test_a_missing_column_is_named(tmp_path: Path, column: str) -> None:
    schema = RowLayout.new(INFO).schema
    schema = schema.remove(schema.get_field_index(column))
    lance.write_dataset(schema.empty_table(), str(tmp_path / "s"), schema=schema)
    with pytest.raises(StoreError, match=f"has no column '{column}'"):
        RegionStore.open(tmp_path / "s")


def test_metadata_that_is_no_json_is_an_error_that_names_the_store(tmp_path: Path) -> None:
    for wrong in (b"{", b"[]", b'{"name": 1}'):
        schema = RowLayout.new(INFO).schema.with_metadata({b"interbert.extractor": wrong})
        lance.write_dataset(schema.empty_table(), str(tmp_path / "s"), schema=schema, mode="overwrite")
        with pytest.raises(StoreError, match=f"{tmp_path / 's'}: does not say who extracted it"):
            RegionStore.open(tmp_path / "s")


@pytest.mark.parametrize(
    ("key", "wrong"),
    [
        ("made_by", b"1"),
        ("made_by", b'{"torch": [1]}'),
        ("made_by", b"[" * 100_000),
        ("extractor", b"[" * 100_000),
        ("extractor", b'{"name": ["x"], "settings": {}, "feature_size": 8, "num_classes": 4}'),
        ("extractor", b'{"name": "x", "settings": {}, "feature_size": 1e400, "num_classes": 4}'),
        ("extractor", b'{"name": "x", "settings": {}, "feature_size": 0, "num_classes": 4}'),
        ("extractor", b'{"name": "x", "settings": {}, "feature_size": 8, "num_classes": "4"}'),
    ],
)
def test_metadata_that_no_extraction_writes_is_an_error_too(tmp_path: Path, key: str, wrong: bytes) -> None:
    schema = RowLayout.new(INFO).schema
    schema = schema.with_metadata(schema.metadata | {f"interbert.{key}".encode(): wrong})
    with pytest.raises(StoreError, match="does not say who extracted it"):
        RowLayout.of(schema, "s")


@pytest.mark.parametrize("name", ["features", "class_probs"])
def test_columns_of_another_width_than_the_extractor_s_are_refused(name: str) -> None:
    schema = RowLayout.new(INFO).schema
    for kind in (pa.list_(pa.list_(pa.float16(), 3)), pa.string()):
        wrong = schema.set(schema.get_field_index(name), pa.field(name, kind))
        with pytest.raises(StoreError, match=f"{name!r} does not have the"):
            RowLayout.of(wrong, "s")


@pytest.mark.parametrize("top", [0, -1, 4, 5])
def test_an_impossible_number_of_classes_is_refused_before_anything_is_written(tmp_path: Path, top: int) -> None:
    with pytest.raises(ConfigError, match="below the 4 classes"):
        RegionStore.create(tmp_path / "s", INFO, top)
    assert not (tmp_path / "s").exists()
    with pytest.raises(ConfigError, match="gives no classes"):
        RegionStore.create(tmp_path / "s", replace(INFO, num_classes=None), 2)


def test_a_store_keeps_its_number_of_classes(tmp_path: Path) -> None:
    RegionStore.create(tmp_path / "s", INFO, 2).append([record(0)])
    assert RegionStore.open_or_create(tmp_path / "s", INFO).layout.top_k_classes == 2
    assert RegionStore.open_or_create(tmp_path / "s", INFO, 2).layout.top_k_classes == 2
    with pytest.raises(ConfigError, match="has the 2 most probable classes of each region, asked for 3"):
        RegionStore.open_or_create(tmp_path / "s", INFO, 3)
    filled(tmp_path / "whole", 1)
    with pytest.raises(ConfigError, match="has whole class distributions of each region, asked for 3"):
        RegionStore.open_or_create(tmp_path / "whole", INFO, 3)
    RegionStore.create(tmp_path / "empty", INFO)
    assert RegionStore.open_or_create(tmp_path / "empty", INFO, 3).layout.top_k_classes == 3


def test_kept_classes_come_back_as_distributions_and_everything_else_as_it_was(tmp_path: Path) -> None:
    store = RegionStore.create(tmp_path / "s", INFO, 2)
    store.append([record(row, classes=None if row == 3 else 4) for row in range(6)])
    for row, regions in enumerate(store.take(range(6))):
        wanted = record(row, classes=None if row == 3 else 4).regions
        assert_same(replace(regions, class_probs=None), replace(wanted, class_probs=None))
        assert (regions.class_probs is None) == (row == 3)
        if regions.class_probs is not None:
            assert regions.class_probs.dtype == np.float16
            assert regions.class_probs.shape == wanted.class_probs.shape
            np.testing.assert_array_equal(regions.class_probs.argmax(1), wanted.class_probs.argmax(1))
            np.testing.assert_allclose(regions.class_probs.sum(1, dtype=np.float32), 1, atol=2e-3)


def test_the_arrow_types_are_those_of_the_docstring() -> None:
    schema = RowLayout.new(INFO, 2).schema
    assert schema.field("features").type == pa.list_(pa.list_(pa.float16(), 6))
    assert schema.field("class_ids").type == pa.list_(pa.list_(pa.uint16(), 2))
    assert schema.field("class_shares").type == pa.list_(pa.list_(pa.float16(), 3))
    assert schema.field("regions_checksum").type == pa.uint64()
