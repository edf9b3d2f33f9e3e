from __future__ import annotations

import errno
import multiprocessing
import pickle
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from pathlib import Path

import lance
import numpy as np
import pytest

from interbert.errors import RegionError, StorageError, StoreError
from interbert.regions.schema import ExtractorInfo, RegionRecord, Regions
from interbert.regions.store import RegionStore, is_store

INFO = ExtractorInfo("grid", {"input_size": 64, "scales": [1, 2]}, feature_size=6, num_classes=4)


def record(row: int, count: int | None = None, classes: int | None = 4, view: int = 0) -> RegionRecord:
    """An image with as many regions as its row says, features that grow with the row."""
    rng = np.random.default_rng(row)
    count = row % 5 + 1 if count is None else count
    probabilities = None if classes is None else rng.dirichlet(np.ones(classes), count).astype(np.float16)
    return RegionRecord(
        image_id=f"p{row}",
        product_id=f"product{row // 2}",
        digest=f"{row:064x}",
        view=view,
        source_row=row,
        texts=tuple(f"text {n} of {row} 红色" for n in range(row % 3)),
        text_fields=tuple("title" for _ in range(row % 3)),
        regions=Regions(
            boxes=rng.uniform(0, 30, (count, 4)).astype(np.float32),
            features=(rng.normal(size=(count, 6)) + row).astype(np.float16),
            class_probs=probabilities,
            width=30 + row,
            height=40 + row,
        ),
    )


def filled(path: Path, count: int = 12, info: ExtractorInfo = INFO) -> RegionStore:
    store = RegionStore.create(path, info)
    store.append([record(row) for row in range(count)])
    return store


def assert_same(ours: Regions, theirs: Regions) -> None:
    assert (ours.width, ours.height) == (theirs.width, theirs.height)
    np.testing.assert_array_equal(ours.boxes, theirs.boxes)
    np.testing.assert_array_equal(ours.features, theirs.features)
    assert (ours.class_probs is None) == (theirs.class_probs is None)
    if ours.class_probs is not None:
        np.testing.assert_array_equal(ours.class_probs, theirs.class_probs)


def files(path: Path, pattern: str) -> list[Path]:
    found = sorted(path.glob(pattern))
    assert found
    return found


def test_what_was_written_is_read_back_with_any_number_of_regions(tmp_path: Path) -> None:
    filled(tmp_path / "s")
    store = RegionStore.open(tmp_path / "s")
    assert store.info == INFO
    assert len(store) == 12
    for row, regions in enumerate(store.take(range(12))):
        assert_same(regions, record(row).regions)
    for row, caption in enumerate(store.captions()):
        wanted = record(row)
        assert caption.row == row
        for name in ("image_id", "product_id", "digest", "view", "source_row", "texts", "text_fields"):
            assert getattr(caption, name) == getattr(wanted, name), name


def test_rows_without_a_class_distribution_stay_without_one(tmp_path: Path) -> None:
    store = RegionStore.create(tmp_path / "none", replace(INFO, num_classes=None))
    store.append([record(row, classes=None) for row in range(4)])
    assert all(regions.class_probs is None for regions in store.take(range(4)))
    mixed = RegionStore.create(tmp_path / "mixed", INFO)
    mixed.append([record(row, classes=None if row % 2 else 4) for row in range(5)])
    for row, regions in enumerate(mixed.take(range(5))):
        assert_same(regions, record(row, classes=None if row % 2 else 4).regions)


def test_rows_are_taken_in_any_order_with_repeats_and_over_several_commits(tmp_path: Path) -> None:
    store = RegionStore.create(tmp_path / "s", INFO)
    for start in (0, 3, 4):
        store.append([record(row) for row in range(start, {0: 3, 3: 4, 4: 9}[start])])
    asked = [7, 0, 7, 3, 8, 1, 0]
    for row, regions in zip(asked, store.take(asked), strict=True):
        assert_same(regions, record(row).regions)
    assert store.take([]) == []


def test_an_append_is_seen_by_this_handle_and_by_the_next(tmp_path: Path) -> None:
    store = filled(tmp_path / "s", 3)
    before = store.fingerprint
    store.append([record(3), record(3, view=1)])
    store.append([])
    assert len(store) == len(RegionStore.open(tmp_path / "s")) == 5
    assert store.existing_keys() == {("p0", 0), ("p1", 0), ("p2", 0), ("p3", 0), ("p3", 1)}
    assert store.fingerprint != before
    assert store.fingerprint == RegionStore.open(tmp_path / "s").fingerprint


def test_a_handle_that_was_open_reads_whole_commits_only(tmp_path: Path) -> None:
    store = filled(tmp_path / "s", 3)
    other = RegionStore.open(tmp_path / "s")
    store.append([record(row) for row in range(3, 6)])
    assert len(other) in (3, 6)
    for row, regions in enumerate(other.take(range(len(other)))):
        assert_same(regions, record(row).regions)


def test_a_store_that_is_not_there_is_named_with_the_command_that_makes_it(tmp_path: Path) -> None:
    for path in (tmp_path / "nowhere", tmp_path):
        with pytest.raises(StoreError, match=f"{path}: there is no region store.*interbert extract"):
            RegionStore.open(path)
    plain = tmp_path / "file.txt"
    plain.write_text("hello")
    with pytest.raises(StoreError, match=str(plain)):
        RegionStore.open(plain)


def test_a_store_without_its_manifests_is_no_store(tmp_path: Path) -> None:
    filled(tmp_path / "s")
    for manifest in files(tmp_path / "s", "_versions/*.manifest"):
        manifest.unlink()
    assert not is_store(tmp_path / "s")
    with pytest.raises(StoreError, match=str(tmp_path / "s")):
        RegionStore.open(tmp_path / "s")


@pytest.mark.parametrize("content", [b"", b"x" * 40, None], ids=["empty", "garbage", "cut"])
def test_a_damaged_manifest_is_an_error_that_names_the_store(tmp_path: Path, content: bytes | None) -> None:
    filled(tmp_path / "s")
    for manifest in files(tmp_path / "s", "_versions/*.manifest"):
        manifest.write_bytes(manifest.read_bytes()[:60] if content is None else content)
    with pytest.raises(StoreError, match=str(tmp_path / "s")):
        RegionStore.open(tmp_path / "s")


def damage(path: Path, how: str) -> None:
    for file in files(path, "data/*.lance"):
        if how == "cut":
            file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
        elif how == "empty":
            file.write_bytes(b"")
        else:
            file.unlink()


@pytest.mark.parametrize("how", ["cut", "empty", "gone"])
@pytest.mark.parametrize("read", ["take", "captions", "existing_keys", "pooled_features", "feature_statistics"])
def test_damaged_data_is_an_error_that_names_the_store(tmp_path: Path, how: str, read: str) -> None:
    filled(tmp_path / "s")
    damage(tmp_path / "s", how)
    arguments = [[0, 1]] if read == "take" else []
    with pytest.raises(StoreError, match=f"{tmp_path / 's'}: .*extract the images again"):
        list(getattr(RegionStore.open(tmp_path / "s"), read)(*arguments))  # captions are read as they are taken


def test_another_data_set_is_not_taken_for_a_store(tmp_path: Path) -> None:
    import pyarrow as pa

    lance.write_dataset(pa.table({"a": [1, 2]}), str(tmp_path / "other"))
    with pytest.raises(StoreError, match="not a region store"):
        RegionStore.open(tmp_path / "other")


def test_another_extractor_is_refused_with_the_settings_that_differ(tmp_path: Path) -> None:
    filled(tmp_path / "s")
    other = replace(INFO, settings={"input_size": 96, "scales": [1, 2]})
    with pytest.raises(StoreError) as caught:
        RegionStore.open_or_create(tmp_path / "s", other)
    message = str(caught.value)
    assert str(tmp_path / "s") in message
    assert "input_size 64, asked for 96" in message
    assert "scales" not in message
    assert len(RegionStore.open_or_create(tmp_path / "s", INFO)) == 12


def test_a_store_is_not_created_over_anything(tmp_path: Path) -> None:
    filled(tmp_path / "s")
    with pytest.raises(StoreError, match="already"):
        RegionStore.create(tmp_path / "s", INFO)
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "thesis.txt").write_text("years of work")
    with pytest.raises(StoreError, match="not empty"):
        RegionStore.create(mine, INFO)
    assert (mine / "thesis.txt").read_text() == "years of work"
    assert len(RegionStore.open(tmp_path / "s")) == 12


def test_a_users_data_folder_beside_other_files_is_not_deleted(tmp_path: Path) -> None:
    (tmp_path / "project" / "data").mkdir(parents=True)
    (tmp_path / "project" / "data" / "mine.csv").write_text("years of work")
    with pytest.raises(StoreError, match="not empty"):
        RegionStore.create(tmp_path / "project", INFO)
    assert (tmp_path / "project" / "data" / "mine.csv").read_text() == "years of work"


def test_a_first_write_that_was_killed_before_its_commit_does_not_block_the_next(tmp_path: Path) -> None:
    filled(tmp_path / "s")
    for manifest in files(tmp_path / "s", "_versions/*.manifest"):
        manifest.unlink()
    store = RegionStore.open_or_create(tmp_path / "s", INFO)
    assert len(store) == 0
    store.append([record(0)])
    assert_same(store.take([0])[0], record(0).regions)


def test_a_path_that_is_a_file_is_an_error_that_names_it(tmp_path: Path) -> None:
    plain = tmp_path / "file.txt"
    plain.write_text("hello")
    for path in (plain, plain / "below"):
        with pytest.raises((StoreError, StorageError), match=str(path)):
            RegionStore.open_or_create(path, INFO)
    assert plain.read_text() == "hello"


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_row_with_values_that_are_not_finite_is_named_when_it_is_taken(tmp_path: Path, value: float) -> None:
    store = filled(tmp_path / "s", 3)
    wrong = record(3)
    wrong.regions.features[0, 1] = value
    store.append([wrong])
    with pytest.raises(RegionError, match=f"{tmp_path / 's'}, row 3: features hold NaN or infinite"):
        store.take([0, 3])
    assert len(store.take([2, 0])) == 2


@pytest.mark.parametrize("method", ["spawn", "forkserver"])  # lance must not be forked
def test_worker_processes_read_with_a_handle_of_their_own(tmp_path: Path, method: str) -> None:
    store = filled(tmp_path / "s")
    store.take([0])
    again = pickle.loads(pickle.dumps(store))
    assert_same(again.take([5])[0], record(5).regions)
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context(method)) as pool:
        taken = pool.submit(RegionStore.take, store, [5, 2]).result(timeout=60)
    for row, regions in zip([5, 2], taken, strict=True):
        assert_same(regions, record(row).regions)


def test_statistics_are_those_of_numpy(tmp_path: Path) -> None:
    store = filled(tmp_path / "s", 40)
    everything = np.concatenate([regions.features for regions in store.take(range(40))]).astype(np.float64)
    mean, deviation = store.feature_statistics()
    np.testing.assert_allclose(mean, everything.mean(0), rtol=1e-5)
    np.testing.assert_allclose(deviation, everything.std(0), rtol=1e-5)
    few, _ = store.feature_statistics(max_rows=5, seed=1)
    assert few.shape == (6,)
    assert not np.allclose(few, mean)
    np.testing.assert_array_equal(few, store.feature_statistics(max_rows=5, seed=1)[0])


def test_a_feature_that_never_changes_has_a_deviation_to_divide_by(tmp_path: Path) -> None:
    store = RegionStore.create(tmp_path / "s", INFO)
    constant = record(0, count=3)
    constant.regions.features[:] = 2.0
    store.append([constant, constant])
    mean, deviation = store.feature_statistics()
    np.testing.assert_allclose(mean, 2.0)
    np.testing.assert_allclose(deviation, 1e-3)


@pytest.mark.parametrize("batch_rows", [5, 512])
def test_pooled_features_are_the_mean_of_each_row(tmp_path: Path, batch_rows: int) -> None:
    store = filled(tmp_path / "s", 12)
    pooled = store.pooled_features(batch_rows)
    wanted = np.stack([regions.features.astype(np.float32).mean(0) for regions in store.take(range(12))])
    assert pooled.dtype == np.float32
    np.testing.assert_allclose(pooled, wanted, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    "error",
    [OSError(errno.ENOSPC, "No space left on device"), RuntimeError("LanceError(IO): No space left on device")],
    ids=["os", "lance"],
)
def test_a_full_disk_says_so_and_keeps_what_was_committed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    store = filled(tmp_path / "s", 3)

    def full(*_: object, **__: object) -> None:
        raise error

    with monkeypatch.context() as patch:
        patch.setattr(lance, "write_dataset", full)
        with pytest.raises(StorageError, match=f"{tmp_path / 's'}: the disk is full"):
            store.append([record(3)])
        with pytest.raises(StorageError, match=f"{tmp_path / 'new'}: the disk is full"):
            RegionStore.create(tmp_path / "new", INFO)
    assert len(RegionStore.open(tmp_path / "s")) == 3
    for row, regions in enumerate(store.take(range(3))):
        assert_same(regions, record(row).regions)
    store.append([record(3)])
    assert len(store) == 4


def test_a_folder_that_may_not_be_written_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = filled(tmp_path / "s", 3)

    def forbidden(*_: object, **__: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(lance, "write_dataset", forbidden)
    with pytest.raises(StorageError, match=f"{tmp_path / 's'}: cannot be written .Permission denied"):
        store.append([record(3)])
