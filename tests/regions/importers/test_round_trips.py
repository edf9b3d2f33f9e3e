"""What a format's writer wrote is what the store holds."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.regions.importers import writers
from tests.regions.importers.writers import SIZE, Foreign, images

from interbert.errors import SourceError, UsageError
from interbert.regions.importers.engine import ImportReport, import_to_store
from interbert.regions.importers.formats import FORMATS, importer_info, open_format
from interbert.regions.store import RegionStore

REAL = Path(os.environ.get("INTERBERT_DATA", "")) / "butd_coco10" / "train2014_obj36.tsv"


def imported(name: str, source: Path | str, out: Path, **options: Any) -> tuple[RegionStore, ImportReport]:
    opened = open_format(name, str(source), **options)
    report = import_to_store(opened, out, importer_info(opened, name), progress=False)
    return RegionStore.open(out), report


def assert_holds(
    store: RegionStore,
    made: list[Foreign],
    probabilities: Callable[[Foreign], np.ndarray] | None,
    texts: Callable[[Foreign], tuple[str, ...]] = lambda one: (),
) -> None:
    """The store has these images, in this order, to the precision that it keeps."""
    rows = list(store.captions())
    assert [row.image_id for row in rows] == [one.name for one in made]
    for row, regions, one in zip(rows, store.take(range(len(store))), made, strict=True):
        assert (regions.width, regions.height) == (one.width, one.height)
        np.testing.assert_allclose(regions.boxes, one.boxes, atol=1e-3)
        np.testing.assert_array_equal(regions.features, one.features.astype(np.float16))
        if probabilities is None:
            assert regions.class_probs is None
        else:
            assert regions.class_probs is not None
            np.testing.assert_allclose(regions.class_probs, probabilities(one), atol=1e-3)
        assert row.texts == texts(one)
        assert row.digest == ""


def whole(one: Foreign) -> np.ndarray:
    return one.probabilities()


def one_hot(one: Foreign) -> np.ndarray:
    return np.eye(33)[one.ids % 33]


def first_text(one: Foreign) -> tuple[str, ...]:
    return one.texts[:1]


CASES: dict[str, tuple[str, Callable[[Path, list[Foreign]], Path], Any, Any]] = {
    "bottom-up": ("bottom-up-tsv", lambda p, m: writers.bottom_up(p / "a.tsv", m), None, None),
    "bottom-up, height first": (
        "bottom-up-tsv",
        lambda p, m: writers.bottom_up(p / "a.tsv", m, height_first=True),
        None,
        None,
    ),
    "ViLBERT's": ("bottom-up-tsv", lambda p, m: writers.bottom_up(p / "a.tsv", m, probabilities=True), whole, None),
    "LXMERT": ("lxmert-tsv", lambda p, m: writers.lxmert(p / "a.tsv", m), whole, None),
    "VOLTA's TSV": ("lxmert-tsv", lambda p, m: writers.lxmert(p / "a.tsv", m, probabilities=True), whole, None),
    "KDD Cup": ("kdd-tsv", lambda p, m: writers.kdd(p / "a.tsv", m), one_hot, lambda one: one.texts),
    "npz": ("npy-folder", lambda p, m: writers.npz(p / "f", m), whole, None),
    "npy": ("npy-folder", lambda p, m: writers.npy(p / "f", m), whole, None),
    "fine-tuning": ("finetuning-lmdb", lambda p, m: writers.finetuning_lmdb(p / "a.lmdb", m), None, None),
    "VOLTA's LMDB": ("finetuning-lmdb", lambda p, m: writers.volta_lmdb(p / "a.lmdb", m), whole, None),
    "pretraining": ("pretraining-lmdb", lambda p, m: writers.pretraining_lmdb(p / "a.lmdb", m), whole, first_text),
    "VOLTA's pretraining": (
        "pretraining-lmdb",
        lambda p, m: writers.pretraining_lmdb(p / "a.lmdb", m, wide=True),
        whole,
        first_text,
    ),
    "VOLTA's h5": ("h5", lambda p, m: writers.volta_h5(p / "a.h5", m), whole, None),
    "ViLBERT's h5": ("h5", lambda p, m: writers.vilbert_h5(p / "a.h5", m), whole, None),
}


@pytest.mark.parametrize("case", CASES)
def test_a_format_comes_through_whole(tmp_path: Path, case: str) -> None:
    name, write, probabilities, texts = CASES[case]
    made = images()
    options = {"feature_size": SIZE} if "feature_size" in FORMATS[name].options and name.endswith("tsv") else {}
    store, report = imported(name, write(tmp_path, made), tmp_path / "s", **options)
    assert_holds(store, made, probabilities, texts or (lambda one: ()))
    assert (report.written, report.skipped, report.already) == (5, 0, 0)
    assert report.repeated == (5 if name == "kdd-tsv" else 0)
    assert store.info.name == f"imported:{name}"
    assert (store.info.feature_size, store.info.num_classes) == (
        SIZE,
        None if probabilities is None else 33 if name == "kdd-tsv" else 1601,
    )


@pytest.mark.parametrize("three_columns", [False, True])
def test_vinvl_features_and_the_objects_beside_them(tmp_path: Path, three_columns: bool) -> None:
    made = images()
    features, objects, labels = writers.vinvl(tmp_path, made, three_columns)
    options = {"feature_size": SIZE, "objects": str(objects)}
    store, _ = imported("vinvl-tsv", features, tmp_path / "s", labels=str(labels), **options)
    assert_holds(store, made, whole)
    store, _ = imported("vinvl-tsv", features, tmp_path / "t", **options)
    assert_holds(store, made, None)  # names of classes without their numbers


def test_vinvl_features_alone_have_their_boxes_in_them_and_need_sizes(tmp_path: Path) -> None:
    made = images()
    features, _, _ = writers.vinvl(tmp_path, made)
    sizes = tmp_path / "train.hw.tsv"
    sizes.write_text("".join(f'{o.name}\t[{{"height": {o.height}, "width": {o.width}}}]\n' for o in made))
    store, _ = imported("vinvl-tsv", features, tmp_path / "s", feature_size=SIZE, sizes=str(sizes))
    assert_holds(store, made, None)
    with pytest.raises(SourceError, match="none of its records could be used"):
        imported("vinvl-tsv", features, tmp_path / "t", feature_size=SIZE)
    assert "--objects" in (tmp_path / "t" / "skipped.jsonl").read_text()


def test_uniter_boxes_are_relative_and_sizes_come_from_coco(tmp_path: Path) -> None:
    made = images()
    (tmp_path / "f").mkdir()
    for one in made:
        relative = one.boxes / np.array([one.width, one.height] * 2, dtype=np.float32)
        seven = np.concatenate([relative, np.zeros((len(relative), 3), np.float32)], axis=1)
        probabilities = one.probabilities()
        name = f"coco_train2014_{one.name}"
        np.savez(tmp_path / "f" / name, features=one.features, norm_bb=seven, soft_labels=probabilities)
    sizes = tmp_path / "sizes.csv"
    rows = [f"coco_train2014_{o.name},{o.width},{o.height}" for o in made]
    sizes.write_text("\n".join(["id,width,height", *rows]))
    store, _ = imported("npy-folder", tmp_path / "f", tmp_path / "s", sizes=str(sizes))
    assert_holds(store, [replace(one, name=f"coco_train2014_{one.name}") for one in made], whole)


def test_the_order_of_width_and_height_may_be_said(tmp_path: Path) -> None:
    square = [replace(one, width=200, height=200, boxes=one.boxes.clip(0, 200)) for one in images()]
    path = writers.bottom_up(tmp_path / "a.tsv", square, height_first=True)
    store, _ = imported("bottom-up-tsv", path, tmp_path / "s", feature_size=SIZE)  # both orders fit: the usual one
    assert_holds(store, square, None)
    made = images()
    path = writers.bottom_up(tmp_path / "b.tsv", made, height_first=True)
    store, _ = imported("bottom-up-tsv", path, tmp_path / "t", feature_size=SIZE, field_order="height,width")
    assert_holds(store, made, None)
    with pytest.raises(SourceError, match="none of its records"):
        imported("bottom-up-tsv", path, tmp_path / "u", feature_size=SIZE, field_order="width,height")
    assert "width and height swapped" in (tmp_path / "u" / "skipped.jsonl").read_text()


def test_several_files_are_one_source(tmp_path: Path) -> None:
    writers.bottom_up(tmp_path / "x.tsv.0", images(3))
    writers.bottom_up(tmp_path / "x.tsv.1", images(4, first=3))
    store, report = imported("bottom-up-tsv", tmp_path / "x.tsv.*", tmp_path / "s", feature_size=SIZE)
    assert_holds(store, images(7), None)
    assert report.written == 7


@pytest.mark.parametrize("protocol", range(6))
def test_pickles_of_every_protocol(tmp_path: Path, protocol: int) -> None:
    made = images(3)
    path = writers.finetuning_lmdb(tmp_path / "a.lmdb", made, protocol)
    store, report = imported("finetuning-lmdb", path, tmp_path / "s")
    assert_holds(store, made, None)
    assert report.skipped == 0


def test_records_that_the_list_of_keys_has_and_the_file_lacks_are_named(tmp_path: Path) -> None:
    import pickle

    made = images(3)
    records = [(one.name.encode(), pickle.dumps(writers.finetuning_record(one))) for one in made]
    keys = pickle.dumps([*(key for key, _ in records), b"9999"])
    path = writers.lmdb_of(tmp_path / "a.lmdb", [*records, (b"keys", keys)])
    store, report = imported("finetuning-lmdb", path, tmp_path / "s")
    assert (len(store), report.skipped) == (3, 1)
    assert "lists '9999', which is not there" in (tmp_path / "s" / "skipped.jsonl").read_text()


def test_what_tensorpack_wrote_through_pyarrow_is_refused_with_what_to_do(tmp_path: Path) -> None:
    record = (2).to_bytes(4, "little") + bytes(12) + b"\xff\xff\xff\xff" + bytes(200)
    path = writers.lmdb_of(tmp_path / "a.lmdb", [(b"00000000", record), (b"__keys__", record)])
    with pytest.raises(SourceError, match=r"through pyarrow.*TENSORPACK_SERIALIZE=msgpack.*docs/importing.md"):
        open_format("pretraining-lmdb", str(path))


def test_candidates_of_kdd_cup_have_queries_where_the_answers_say_so(tmp_path: Path) -> None:
    made = images(3)
    (tmp_path / "valid_answer.json").write_text('{"10000": [1000], "10021": [1002, 77]}')
    path = writers.kdd(tmp_path / "valid.tsv", made)
    answers = str(tmp_path / "valid_answer.json")
    store, _ = imported("kdd-tsv", path, tmp_path / "s", feature_size=SIZE, answers=answers)
    texts = {row.image_id: row.texts for row in store.captions()}
    assert texts == {"1000": made[0].texts[:1], "1001": (), "1002": made[2].texts[1:]}
    assert {field for row in store.captions() for field in row.text_fields} == {"query"}


def test_boxes_of_kdd_cup_are_top_left_bottom_right_and_its_queries_stay_english(tmp_path: Path) -> None:
    boxes = writers.b64(np.array([[10, 20, 90, 180]], dtype=np.float32))  # of an image 100 high and 200 wide
    features = writers.b64(np.ones((1, SIZE), dtype=np.float32))
    labels = writers.b64(np.zeros(1), "<i8")
    cells = writers.line("7", 100, 200, 1, boxes, features, labels, "women's  dress", "3")
    (tmp_path / "a.tsv").write_bytes(cells)
    store, _ = imported("kdd-tsv", tmp_path / "a.tsv", tmp_path / "s", feature_size=SIZE)
    assert (store.take([0])[0].width, store.take([0])[0].height) == (200, 100)
    assert store.take([0])[0].boxes.tolist() == [[20, 10, 180, 90]], "left, top, right, bottom"
    assert [row.texts for row in store.captions()] == [("women's dress",)]


def test_base64_in_the_letters_of_python_3_is_read(tmp_path: Path) -> None:
    made = images(2)
    with (tmp_path / "a.tsv").open("wb") as file:
        for one in made:
            boxes, features = (str(writers.b64(values)).encode() for values in (one.boxes, one.features))
            file.write(writers.line(one.name, one.width, one.height, len(one.boxes), boxes, features))
    store, _ = imported("bottom-up-tsv", tmp_path / "a.tsv", tmp_path / "s", feature_size=SIZE)
    assert_holds(store, made, None)


@pytest.mark.skipif(not REAL.is_file(), reason="INTERBERT_DATA holds no butd_coco10")
@pytest.mark.parametrize("name", ["lxmert-tsv", "bottom-up-tsv"])
def test_the_caffe_detectors_own_file(tmp_path: Path, name: str) -> None:
    import base64

    store, report = imported(name, REAL, tmp_path / "s")
    assert (report.written, report.skipped) == (10, 0)
    for regions, text in zip(store.take(range(10)), REAL.read_bytes().splitlines(), strict=True):
        cells = text.split(b"\t")
        assert regions.features.shape == (36, 2048)
        assert regions.class_probs is not None
        assert (regions.height, regions.width) == (int(cells[1]), int(cells[2]))
        given = np.frombuffer(base64.b64decode(cells[9]), np.float32).reshape(36, 2048)
        np.testing.assert_array_equal(regions.features, given.astype(np.float16))
        np.testing.assert_array_equal(
            regions.boxes, np.frombuffer(base64.b64decode(cells[8]), np.float32).reshape(36, 4)
        )
        ids = np.frombuffer(base64.b64decode(cells[3]), np.int64)
        np.testing.assert_array_equal(regions.class_probs.argmax(1), ids + 1)
        np.testing.assert_allclose(regions.class_probs.astype(np.float64).sum(1), 1, atol=5e-3)


def test_a_format_that_is_not_there_is_answered_with_the_nearest_or_with_the_right_command() -> None:
    with pytest.raises(UsageError, match=r"no format 'lxmert'\. Did you mean 'lxmert-tsv'"):
        open_format("lxmert", "a.tsv")
    with pytest.raises(UsageError, match=r"muge has images.*interbert extract"):
        open_format("muge", "a.tsv")
    with pytest.raises(UsageError, match="takes no --answers"):
        open_format("h5", "a.h5", answers="b.json")


def test_the_class_labels_of_kdd_cup_are_counted(tmp_path: Path) -> None:
    path = writers.kdd(tmp_path / "train.tsv", images(2))
    labels = tmp_path / "multimodal_labels.txt"
    labels.write_text("category_id\tcategory_name\n0\tothers\n1\ttop clothes, shirt\n40\tbag\n", encoding="utf-8")
    store, _ = imported("kdd-tsv", path, tmp_path / "s", feature_size=SIZE, labels=str(labels))
    assert store.info.num_classes == 41
    for text, reason in (
        ("0\ta\n0\tb\n", "row 2: number 0 has a name before"),
        ("0\ta\nb\n", "row 2: is 'b'; a number"),
    ):
        labels.write_text(text)
        with pytest.raises(SourceError, match=reason):
            open_format("kdd-tsv", str(path), labels=str(labels))
