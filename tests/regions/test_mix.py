import numpy as np
import pytest

from interbert.data.pairs import PairTable
from interbert.errors import StoreError
from interbert.regions.mix import StoreMix
from interbert.regions.schema import ExtractorInfo, RegionRecord, Regions
from interbert.regions.store import RegionStore


def fill(path, rows, info=None, digest="{}"):
    store = RegionStore.create(path, info or ExtractorInfo("fake", {}, 3, 2))
    generator = np.random.default_rng(rows)
    records = []
    for row in range(rows):
        features = np.full((2, 3), generator.random(), dtype=np.float16)
        boxes = np.array([[0, 0, 4, 4]] * 2, dtype=np.float32)
        regions = Regions(boxes, features, np.full((2, 2), 0.5, dtype=np.float16), 8, 8)
        records.append(
            RegionRecord(
                f"{row}", f"{row}", digest.format(f"{path}{row}"), 0, row, (f"{path} {row}",), ("title",), regions
            )
        )
    store.append(records)
    return store


@pytest.fixture
def mix(tmp_path):
    for name, rows in (("a", 3), ("b", 5)):
        fill(tmp_path / name, rows)
    return StoreMix({str(tmp_path / "a"): 1.0, str(tmp_path / "b"): 0.5})


def test_rows_go_on_from_store_to_store(mix, tmp_path):
    assert len(mix) == 8
    rows = [7, 0, 3, 2, 7]
    taken = [one.features[0, 0] for one in mix.take(rows)]
    a, b = (RegionStore.open(tmp_path / name) for name in "ab")
    expected = [store.take([row])[0].features[0, 0] for store, row in ((b, 4), (a, 0), (b, 0), (a, 2), (b, 4))]
    assert taken == expected
    assert [one.row for one in mix.captions()] == list(range(8))
    assert mix.pooled_features().shape == (8, 3)
    assert mix.visits(np.array([0, 2, 3, 7])).tolist() == [1.0, 1.0, 0.5, 0.5]
    assert mix.fingerprint == f"{a.fingerprint} + {b.fingerprint}"


def test_equal_ids_in_two_stores_are_other_images_and_equal_files_are_one(mix, tmp_path):
    groups = PairTable.from_captions(mix.captions()).groups
    assert len(set(groups.tolist())) == 8
    for name in "cd":
        fill(tmp_path / name, 2, digest="one file")
    same = StoreMix({str(tmp_path / "c"): 1.0, str(tmp_path / "d"): 1.0})
    assert len(set(PairTable.from_captions(same.captions()).groups.tolist())) == 1


def test_another_extractor_in_the_mix_is_refused(tmp_path):
    fill(tmp_path / "a", 2)
    fill(tmp_path / "b", 2, ExtractorInfo("other", {}, 3, 2))
    with pytest.raises(StoreError, match="another extractor"):
        StoreMix({str(tmp_path / "a"): 1.0, str(tmp_path / "b"): 1.0})
