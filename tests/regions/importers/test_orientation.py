"""Arrays that are stored turned round or padded: each region keeps its own features, or the file is refused."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.regions.importers import writers
from tests.regions.importers.test_round_trips import assert_holds, imported
from tests.regions.importers.writers import Foreign, images

from interbert.cli.main import main
from interbert.errors import RegionError, SourceError
from interbert.regions.importers.arrays import columns_of, flat, matrix, upright


def npz(folder: Path, made: list[Foreign], **changed: Any) -> Path:
    """One file per image with what ``changed`` makes of it."""
    folder.mkdir(exist_ok=True)
    for one in made:
        fields = {"x": one.features, "bbox": one.boxes, "num_bbox": len(one.boxes)}
        fields |= {"image_h": one.height, "image_w": one.width}
        fields |= {name: make(one) for name, make in changed.items()}
        np.savez(folder / f"{one.name}.npz", **{name: value for name, value in fields.items() if value is not None})
    return folder


def many(count: int, regions: int, size: int) -> list[Foreign]:
    """Images with so many regions each."""
    made = []
    for number, one in enumerate(images(count)):
        rng = np.random.default_rng(number)
        start = rng.uniform(0, 40, (regions, 2))
        boxes = np.concatenate([start, start + rng.uniform(1, 40, (regions, 2))], axis=1).astype(np.float32)
        features = rng.normal(size=(regions, size)).astype(np.float32)
        made.append(replace(one, boxes=boxes, features=features))
    return made


def transposed(one: Foreign) -> np.ndarray:
    return one.features.T


@pytest.mark.parametrize(("regions", "size"), [(36, 64), (36, 72), (10, 2048), (1, 16), (8, 4)])
@pytest.mark.parametrize("numbered", [True, False])
def test_openvqas_features_are_turned_round(tmp_path: Path, regions: int, size: int, numbered: bool) -> None:
    made = many(3, regions, size)
    number = {} if numbered else {"num_bbox": lambda one: None}
    store, report = imported("npy-folder", npz(tmp_path / "f", made, x=transposed, **number), tmp_path / "s")
    assert (report.written, report.skipped) == (3, 0)
    assert store.info.feature_size == size
    assert_holds(store, made, None)


def test_images_with_different_numbers_of_regions_are_turned_round(tmp_path: Path) -> None:
    made = images(8, size=4)  # 2 to 5 regions: with 4 the array is square
    store, _ = imported("npy-folder", npz(tmp_path / "f", made, x=transposed), tmp_path / "s")
    assert_holds(store, made, None)


def test_boxes_and_class_probabilities_are_turned_round_too(tmp_path: Path) -> None:
    made = many(3, 6, 12)
    made = [replace(one, ids=np.arange(6), confidences=np.full(6, 0.5, dtype=np.float32)) for one in made]
    changed = {"bbox": lambda one: one.boxes.T, "cls_prob": lambda one: one.probabilities(10).T}
    store, _ = imported("npy-folder", npz(tmp_path / "f", made, x=transposed, **changed), tmp_path / "s")
    assert_holds(store, made, lambda one: one.probabilities(10))


def test_padding_that_boxes_share_is_cut_off_either_way(tmp_path: Path) -> None:
    made = images(4)

    def padded(values: np.ndarray) -> np.ndarray:
        return np.concatenate([values, np.zeros((7 - len(values), values.shape[1]), values.dtype)])

    boxes = {"bbox": lambda one: padded(one.boxes)}
    for way, change in {"a": lambda one: padded(one.features), "b": lambda one: padded(one.features).T}.items():
        store, _ = imported("npy-folder", npz(tmp_path / f"f{way}", made, x=change, **boxes), tmp_path / f"s{way}")
        assert_holds(store, made, None)


def test_which_side_counts_regions_is_asked_for_where_nothing_tells(tmp_path: Path, capsys: Any) -> None:
    made = many(3, 5, 16)

    def padded(one: Foreign) -> np.ndarray:
        return np.concatenate([one.features, np.zeros((7, 16), np.float32)]).T  # [16, 12] with 5 boxes

    folder = npz(tmp_path / "f", made, x=padded)
    with pytest.raises(
        SourceError, match=r"shape \[16, 12\]; there are 5 regions, so that either side.*--feature-size"
    ):
        imported("npy-folder", folder, tmp_path / "s")
    store, _ = imported("npy-folder", folder, tmp_path / "s", feature_size=16)
    assert_holds(store, made, None)
    assert main(["import", "npy-folder", str(folder), str(tmp_path / "t")]) == 2
    assert len(capsys.readouterr().err.splitlines()) == 1


@pytest.mark.parametrize(
    "change",
    [
        lambda one: one.features.reshape(-1),
        lambda one: one.features.reshape(len(one.features) // 2, -1),
        lambda one: one.features.reshape(3, -1, 4),
        lambda one: one.features.reshape(2, 3, -1),
    ],
)
def test_an_array_whose_size_merely_divides_is_refused(tmp_path: Path, change: Any) -> None:
    folder = npz(tmp_path / "f", many(3, 6, 12), x=change)
    with pytest.raises(SourceError, match="shape"):
        imported("npy-folder", folder, tmp_path / "s")
    good = many(4, 6, 12)
    np.savez(folder / "9.npz", x=good[3].features, bbox=good[3].boxes, image_h=100, image_w=200)
    _, report = imported("npy-folder", folder, tmp_path / "s")
    assert (report.written, report.skipped) == (1, 3)


def test_boxes_in_float64_base64_are_refused(tmp_path: Path) -> None:
    import pickle

    made = images(2)
    records = []
    for one, kind in zip(made, ("<f4", "<f8"), strict=True):
        record = writers.finetuning_record(one) | {"boxes": writers.b64(one.boxes, kind)}
        records.append((one.name.encode(), pickle.dumps(record)))
    store, report = imported("finetuning-lmdb", writers.lmdb_of(tmp_path / "a.lmdb", records), tmp_path / "s")
    assert (report.written, report.skipped) == (1, 1)
    assert_holds(store, made[:1], None)


def test_sides_are_told_by_rows_alone() -> None:
    assert columns_of(np.zeros((64, 36)), {36}) == (64, True)
    assert columns_of(np.zeros((36, 64)), {36}) == (64, False)
    assert columns_of(np.zeros((36, 36)), {36}) is None
    assert columns_of(np.zeros((100, 36)), {36, 100}) is None
    assert columns_of(np.zeros((2048, 100)), {36}) is None
    with pytest.raises(RegionError, match="or the other way round"):
        upright(np.zeros((16, 100)), 36, (16,), "features", "here", rows=(36,))
    assert upright(np.zeros((16, 100)), 36, (16,), "features", "here", turned=True).shape == (36, 16)
    assert matrix(np.zeros((1, 1, 3, 4)), "x", "here").shape == (3, 4)
    assert flat(np.arange(9)[None], 7, "ids", "here").tolist() == list(range(7))
    for wrong in (np.zeros((6, 6)), np.zeros(35), np.zeros(36, dtype="S3")):
        with pytest.raises(RegionError):
            flat(wrong, 36, "ids", "here")
