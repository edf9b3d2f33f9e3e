"""HDF5 files of others: ids and arrays under other names, and what is said where they are not there."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.regions.importers import writers
from tests.regions.importers.test_round_trips import assert_holds, imported
from tests.regions.importers.writers import Foreign, images

from interbert.errors import SourceError

h5py = pytest.importorskip("h5py")


def changed(path: Path, made: list[Foreign], change: Callable[[Any], None]) -> Path:
    """ViLBERT's file after a change to it."""
    writers.vilbert_h5(path, made)
    with h5py.File(path, "a") as file:
        change(file)
    return path


@pytest.mark.parametrize(
    "names",
    [
        {"image_id": "image_ids"},
        {"image_id": "ids", "features": "image_features", "boxes": "image_bb"},
        {"image_id": "filenames", "features": "x", "boxes": "bbox", "num_boxes": "num_bbox"},
    ],
)
def test_arrays_under_other_names_are_read(tmp_path: Path, names: dict[str, str]) -> None:
    made = images(5)

    def rename(file: Any) -> None:
        for old, new in names.items():
            file.move(old, new)
        file["unused"] = np.zeros(3)

    store, report = imported("h5", changed(tmp_path / "a.h5", made, rename), tmp_path / "s")
    assert (report.written, report.skipped) == (5, 0)
    assert_holds(store, made, Foreign.probabilities)


@pytest.mark.parametrize("ids", [np.array([[1000], [1001], [1002]]), np.array([1000.0, 1001.0, 1002.0])])
def test_ids_may_be_numbers_of_any_kind(tmp_path: Path, ids: np.ndarray) -> None:
    made = images(3)

    def number(file: Any) -> None:
        del file["image_id"]
        file["image_ids"] = ids

    store, _ = imported("h5", changed(tmp_path / "a.h5", made, number), tmp_path / "s")
    assert_holds(store, made, Foreign.probabilities)


def test_one_number_of_boxes_is_that_of_all(tmp_path: Path) -> None:
    made = writers.images(5)[::4]  # two regions each

    def scalar(file: Any) -> None:
        del file["num_boxes"]
        file["num_boxes"] = 2

    store, _ = imported("h5", changed(tmp_path / "a.h5", made, scalar), tmp_path / "s")
    assert_holds(store, made, Foreign.probabilities)


def test_fields_of_a_group_are_found_among_any_number(tmp_path: Path) -> None:
    made = images(2)
    with h5py.File(writers.volta_h5(tmp_path / "a.h5", made), "a") as file:
        for number in range(40):
            file[made[0].name][f"a{number:02}"] = number
    store, report = imported("h5", tmp_path / "a.h5", tmp_path / "s")
    assert (report.written, report.skipped) == (2, 0)
    assert_holds(store, made, Foreign.probabilities)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda file: file.move("image_id", "nummer"),
            r"has features, but no image ids: its fields are .*nummer.*looked for image_id, img_id, image_ids",
        ),
        (
            lambda file: file.move("features", "vectors"),
            r"has no features: its fields are .*vectors.*; looked for features, feature",
        ),
        (
            lambda file: (file.pop("image_id"), file.create_dataset("image_ids", data=[1, 2])),
            "image_ids has 2 rows, features has 3",
        ),
    ],
)
def test_what_is_not_there_is_named_in_one_line(tmp_path: Path, change: Callable[[Any], None], message: str) -> None:
    path = changed(tmp_path / "a.h5", images(3), change)
    with pytest.raises(SourceError, match=f"^{path}: {message}") as caught:
        imported("h5", path, tmp_path / "s")
    assert "\n" not in str(caught.value)
    assert "Is the file complete" not in str(caught.value)


def test_an_array_beside_groups_and_groups_of_groups_are_listed(tmp_path: Path) -> None:
    import json

    made = images(2)
    with h5py.File(writers.volta_h5(tmp_path / "a.h5", made), "a") as file:
        file["version"] = [3]
        file["train/1000/features"] = made[0].features
    store, report = imported("h5", tmp_path / "a.h5", tmp_path / "s")
    assert (report.written, report.skipped) == (2, 2)
    assert_holds(store, made, Foreign.probabilities)
    listed = [json.loads(line) for line in (tmp_path / "s" / "skipped.jsonl").read_text().splitlines()]
    assert "its fields are 1000; looked for features" in listed[0]["reason"]
    assert "an array, not a group of an image's arrays" in listed[1]["reason"]


def test_a_pretraining_record_without_an_id_is_listed_and_gets_none(tmp_path: Path) -> None:
    made = images(2)
    names = ("features", "cls_prob", "boxes", "num_boxes", "image_h", "image_w", "image_id", "caption")
    values = [dict(zip(names, writers.pretraining_record(one), strict=True)) for one in made]
    del values[0]["image_id"]
    records = [(f"{n}".encode(), writers.packed(value)) for n, value in enumerate(values)]
    store, report = imported("pretraining-lmdb", writers.lmdb_of(tmp_path / "a.lmdb", records), tmp_path / "s")
    assert (report.written, report.skipped) == (1, 1)
    assert [row.image_id for row in store.captions()] == ["1001"]
    assert "has no image's id (a field called image_id or img_id)" in (tmp_path / "s" / "skipped.jsonl").read_text()
