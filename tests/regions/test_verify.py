from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from tests.killing import kill_at
from tests.regions.test_checksums import flip
from tests.regions.test_layout import old_store
from tests.regions.test_store import INFO, assert_same, files, record

from interbert.cli.main import main
from interbert.regions.conversion import to_table
from interbert.regions.schema import Regions
from interbert.regions.store import RegionStore
from interbert.regions.verify import facts, summarise, unusual, verify


def three_commits(path: Path) -> RegionStore:
    store = RegionStore.create(path, INFO)
    for start in (0, 5, 10):
        store.append([record(row) for row in range(start, start + 5)])
    return store


def damage_row(store: RegionStore, row: int) -> None:
    """One more commit, whose only row is not what its checksum says."""
    rows = to_table([record(row)], store.layout).to_pylist()
    flip("features")(rows[0])
    store.append_table(pa.Table.from_pylist(rows, schema=store.layout.schema))


def test_a_whole_store_is_whole(tmp_path: Path) -> None:
    seen: list[int] = []
    result = verify(three_commits(tmp_path / "s"), seen.append)
    assert (result.rows, result.has_checksums, result.of("damaged", "twice")) == (15, True, [])
    assert sum(seen) == 15
    assert not verify(old_store(tmp_path / "old")).has_checksums
    assert verify(RegionStore.create(tmp_path / "empty", INFO)).rows == 0


def test_damaged_and_repeated_rows_are_found_and_taken_out(tmp_path: Path) -> None:
    store = three_commits(tmp_path / "s")
    damage_row(store, 15)
    store.append([record(3), record(16)])
    found = verify(store).of("damaged", "twice")
    assert [(one.row, one.kind) for one in found] == [(15, "damaged"), (16, "twice")]
    assert f"{tmp_path / 's'}, row 15: its regions" in found[0].reason
    store.remove([one.row for one in found])
    again = RegionStore.open(tmp_path / "s")
    assert verify(again).of("damaged", "twice") == []
    assert [one.image_id for one in again.captions()] == [f"p{row}" for row in [*range(15), 16]]
    assert_same(again.take([15])[0], record(16).regions)
    assert summarise(again).removed == 1  # the file of the other one is no longer part of the store


@pytest.mark.parametrize("how", ["cut", "gone"])
def test_the_rows_of_a_lost_file_are_named_and_can_be_taken_out(tmp_path: Path, how: str) -> None:
    store = three_commits(tmp_path / "s")
    file = next(tmp_path / "s" / "data" / data.path for data in store.dataset().get_fragments()[1].data_files())
    if how == "cut":
        file.write_bytes(file.read_bytes()[:200])
    else:
        file.unlink()
    store = RegionStore.open(tmp_path / "s")
    found = verify(store).of("damaged")
    assert [one.row for one in found] == [5, 6, 7, 8, 9]
    store.remove([one.row for one in found])
    again = RegionStore.open(tmp_path / "s")
    assert [one.image_id for one in again.captions()] == [f"p{row}" for row in [*range(5), *range(10, 15)]]
    assert_same(again.take([5])[0], record(10).regions)
    again.append([record(5)])
    assert verify(again).of("damaged", "twice") == []


def test_values_that_are_not_finite_are_damage(tmp_path: Path) -> None:
    store = three_commits(tmp_path / "s")
    wrong = record(15)
    wrong.regions.features[0, 0] = np.nan
    store.append([wrong])
    assert [one.row for one in verify(store).of("damaged")] == [15]


def test_what_is_possible_and_strange_is_said_and_kept(tmp_path: Path) -> None:
    plain = Regions(
        np.array([[0, 0, 10, 20], [5, 5, 10, 10]], np.float32),
        np.ones((2, 6), np.float16),
        np.full((2, 4), 0.25, np.float16),
        10,
        20,
    )
    assert list(unusual(plain)) == []
    assert list(unusual(replace(plain, class_probs=None))) == []
    assert list(unusual(replace(plain, width=7))) == ["a box leaves the image by 3 pixels"]
    assert list(unusual(replace(plain, boxes=plain.boxes - [[9, 0, 0, 0], [0, 0, 0, 0]]))) == [
        "a box leaves the image by 9 pixels"
    ]
    assert list(unusual(replace(plain, boxes=plain.boxes * [[1, 1, 1, 1], [1, 1, 0.5, 1]]))) == ["1 boxes have no area"]
    assert list(unusual(replace(plain, class_probs=plain.class_probs / 2))) == [
        "a class distribution sums to 0.500, not to 1"
    ]
    store = RegionStore.create(tmp_path / "s", INFO)
    store.append([replace(record(0), regions=replace(plain, width=7))])
    result = verify(store)
    assert [one.row for one in result.of("unusual")] == [0]
    assert result.of("damaged", "twice") == []


def test_a_summary_counts(tmp_path: Path) -> None:
    store = three_commits(tmp_path / "s")
    store.append([record(2, view=1)])
    found = summarise(store)
    assert (found.rows, found.images, found.mirrored, found.products) == (16, 15, 1, 8)
    assert (found.without_text, found.texts) == (5, {"title": 15})
    assert found.regions is not None
    assert found.regions[::2] == (1, 5)
    assert found.bytes == sum(file.stat().st_size for file in files(tmp_path / "s", "data/*.lance"))
    assert (found.commits, found.files, found.removed) == (5, 4, 0)
    said = dict(facts(store))
    assert said["rows"] == "16: 15 images, 1 mirrored views"
    assert said["fingerprint"] == INFO.fingerprint
    assert said["layout"] == "2, checksums: every row"
    assert said["classes"] == "4, stored whole"
    assert dict(facts(RegionStore.create(tmp_path / "top", INFO, 2)))["classes"] == (
        "4, stored the 2 most probable and the remainder"
    )


@pytest.mark.parametrize("number", [1, 2])
def test_a_removal_that_is_killed_is_done_or_not(
    number: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store = three_commits(tmp_path / "s")
    damage_row(store, 15)
    words = ["regions", "verify", str(tmp_path / "s"), "--remove", "--out", str(tmp_path / "found.jsonl")]
    kill_at(number, "removed", *words)
    assert '"row": 15' in (tmp_path / "found.jsonl").read_text()
    assert len(RegionStore.open(tmp_path / "s")) == 17 - number
    assert main(words) == 0
    assert ("1 rows removed" in capsys.readouterr().out) == (number == 1)
    again = RegionStore.open(tmp_path / "s")
    assert [one.image_id for one in again.captions()] == [f"p{row}" for row in range(15)]
    assert verify(again).of("damaged", "twice") == []
