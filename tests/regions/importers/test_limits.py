"""What a record may have: one sum for all its arrays and texts, counted before they are read."""

from __future__ import annotations

import io
import json
import os
import pickle
import resource
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.regions.importers import writers
from tests.regions.importers.test_round_trips import imported
from tests.regions.importers.writers import SIZE, images

from interbert.errors import RegionError, SourceError
from interbert.regions.importers import fields, isolated, isolated_reader, lmdb_files, numpy_files, vinvl_tsv
from interbert.regions.importers.arrays import spread
from interbert.regions.importers.detector_tsv import LineFiles
from interbert.regions.importers.fields import MAX_RECORD, json_from
from interbert.regions.importers.formats import open_format
from interbert.regions.importers.rows import ForeignRegions, checked
from interbert.regions.importers.sizes import SizeIndex

HALF = MAX_RECORD // 2 + 100
"""Bytes of an array that an image may have once, and not twice."""


def reasons(store: Path) -> list[str]:
    lines = (store / "skipped.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line)["reason"] for line in lines]


def test_the_arrays_of_an_npz_are_counted_together_by_what_they_say_of_themselves(tmp_path: Path) -> None:
    folder = writers.npz(tmp_path / "f", images(2))
    one = images(1)[0]
    info = np.array({"objects_id": one.ids, "objects_conf": one.confidences}, dtype=object)
    whole = {
        "info": info,
        "x": one.features,
        "bbox": one.boxes,
        "num_bbox": len(one.boxes),
        "image_h": 100,
        "image_w": 200,
    }
    np.savez_compressed(folder / "big.npz", a=np.zeros(HALF, np.uint8), b=np.zeros(HALF, np.uint8), **whole)
    np.savez_compressed(folder / "fits.npz", a=np.zeros(HALF, np.uint8), **whole)
    _, report = imported("npy-folder", folder, tmp_path / "s")
    assert (report.written, report.skipped) == (3, 1)
    (reason,) = reasons(tmp_path / "s")
    assert reason.startswith(f"{folder}/big.npz: arrays of 67,1")
    assert "at most 67,108,864 are read, of all that an image has" in reason


def test_the_pickles_of_an_npz_are_counted_together(tmp_path: Path) -> None:
    folder = writers.npz(tmp_path / "f", images(2))
    half = np.array({"more": list(range(600_000))}, dtype=object)
    with np.load(folder / "1000.npz", allow_pickle=True) as arrays:
        whole = dict(arrays)
    np.savez_compressed(folder / "big.npz", **whole, a=half, b=half)
    np.savez_compressed(folder / "fits.npz", **whole, a=half)
    _, report = imported("npy-folder", folder, tmp_path / "s")
    assert (report.written, report.skipped) == (3, 1)
    assert "big.npz: its pickle is refused: it " in reasons(tmp_path / "s")[0]


def test_an_npy_and_what_stands_beside_it_are_one_record(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = writers.npy(tmp_path / "f", images(2))
    unused = np.zeros(30_000, np.uint8)
    info = pickle.loads((folder / "1000_info.npy").read_bytes()[128:])[()]
    np.save(folder / "1000_info.npy", np.array({**info, "unused": unused}, dtype=object))
    limit = (folder / "1000_info.npy").stat().st_size - 128  # its pickle alone is within it
    monkeypatch.setattr(fields.RecordSize.__init__, "__defaults__", (limit,))
    _, report = imported("npy-folder", folder, tmp_path / "s")
    assert (report.written, report.skipped) == (1, 1)
    assert "1000.npy: a pickle of" in reasons(tmp_path / "s")[0]


@pytest.mark.parametrize("kind", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_members_packed_in_ways_that_have_no_bound_are_refused(tmp_path: Path, kind: int) -> None:
    folder = writers.npz(tmp_path / "f", images(2))
    with zipfile.ZipFile(folder / "1000.npz") as old, zipfile.ZipFile(folder / "z.npz", "w", kind) as new:
        for name in old.namelist():
            new.writestr(name, old.read(name))
    _, report = imported("npy-folder", folder, tmp_path / "s")
    assert (report.written, report.skipped) == (2, 1)
    assert "is packed in another way than numpy does" in reasons(tmp_path / "s")[0]


def test_a_long_list_of_members_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = writers.npz(tmp_path / "f", images(2))
    with zipfile.ZipFile(folder / "z.npz", "w") as archive:
        for number in range(2000):
            archive.writestr(f"{number:050}", b"")
    opened: list[Any] = []
    monkeypatch.setattr(numpy_files.zipfile, "ZipFile", lambda file: opened.append(file.name))
    with pytest.raises(RegionError, match="its list of arrays is too long; at most 65,536 bytes are read"):
        numpy_files.read_npz(folder / "z.npz", "z")
    assert not opened


def test_a_pipe_is_no_file(tmp_path: Path) -> None:
    folder = writers.npz(tmp_path / "f", images(2))
    os.mkfifo(folder / "pipe.npz")
    os.mkfifo(folder / "pipe.npy")
    _, report = imported("npy-folder", folder, tmp_path / "s")
    assert (report.written, report.skipped) == (2, 2)
    assert all("is no regular file" in reason for reason in reasons(tmp_path / "s"))
    os.mkfifo(tmp_path / "pipe")
    for kind in ("h5", "finetuning-lmdb"):
        with pytest.raises(SourceError, match="is no regular file"):
            open_format(kind, str(tmp_path / "pipe"))


h5py = pytest.importorskip("h5py")


def volta(path: Path, count: int = 3) -> Any:
    return h5py.File(writers.volta_h5(path, images(count)), "a")


def test_the_arrays_of_an_hdf5_group_are_counted_together(tmp_path: Path) -> None:
    with volta(tmp_path / "a.h5") as file:
        for name in ("soft_labels", "cls_prob"):  # nothing is written of them, so that the file stays small
            file["1000"].create_dataset(name, (HALF,), "u1")
        file["1001"].create_dataset("cls_prob", (HALF,), "u1")
    _, report = imported("h5", tmp_path / "a.h5", tmp_path / "s", num_classes=1601)
    assert report.skipped >= 1
    first = next(reason for reason in reasons(tmp_path / "s") if "1000" in reason)
    assert "an array of 33,554,532 bytes; at most 67,108,864 are read, of all that an image has" in first
    assert not any("an array of" in reason and "1001" in reason for reason in reasons(tmp_path / "s"))


def test_a_row_of_flat_hdf5_arrays_is_one_record(tmp_path: Path) -> None:
    with h5py.File(writers.vilbert_h5(tmp_path / "a.h5", images(3)), "a") as file:
        for name in ("soft_labels", "class_probs"):
            file.create_dataset(name, (3, HALF), "u1")
    with pytest.raises(SourceError, match="at most 67,108,864 are read, of all that an image has"):
        open_format("h5", str(tmp_path / "a.h5"))


def test_pieces_and_texts_of_hdf5_are_bounded(tmp_path: Path) -> None:
    with volta(tmp_path / "a.h5") as file:
        group = file["1000"]
        features = group.pop("features")
        values = np.asarray(features)
        token = (1 << 24, SIZE)  # of an array that is small itself
        group.create_dataset("features", data=values, chunks=token, maxshape=(None, None), track_times=False)
        file["1001"]["caption"] = "x" * (MAX_RECORD + 1)
        file["1002"]["caption"] = "a caption"
    store, report = imported("h5", tmp_path / "a.h5", tmp_path / "s")
    assert (report.written, report.skipped) == (1, 2)
    assert [row.texts for row in store.captions()] == [("a caption",)]
    first, second = reasons(tmp_path / "s")
    assert "stored in chunks of 536,870,912 bytes; at most 67,108,864 are read" in first
    assert "a text of 67,108,865 bytes; at most 67,108,864 are read" in second


def test_a_packed_piece_is_unpacked_once_for_all_rows_in_it(tmp_path: Path) -> None:
    path = writers.vilbert_h5(tmp_path / "a.h5", images(3))
    with h5py.File(path, "a") as file:
        for name in list(file):
            kept = np.asarray(file[name])
            if kept.ndim:
                del file[name]
                file[name] = np.concatenate([kept] * 100)
        rows = len(file["image_id"])
        file.create_dataset(
            "soft_labels", (rows, 1), "u1", chunks=(MAX_RECORD // 2, 1), maxshape=(None, 1), compression=1
        )
        file["soft_labels"][:] = 1
    before = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime
    assert (
        sum(
            1
            for _ in isolated.IsolatedFile(
                "h5", str(path), {"features": ["features"], "row ids": ["image_id"], "more": ["soft_labels"]}
            ).records()
        )
        == rows
    )
    assert resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime - before < 8


@pytest.mark.skipif(not Path("/proc").exists(), reason="only Linux bounds a process's memory so")
def test_what_tells_its_size_only_by_being_read_cannot_take_the_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = tmp_path / "reader.py"
    source = Path(isolated_reader.__file__).read_text()
    assert "MAX_MEMORY = 1 << 30" in source
    script.write_text(source.replace("MAX_MEMORY = 1 << 30", "MAX_MEMORY = 1 << 28"))
    with volta(tmp_path / "a.h5") as file:
        file["1001"]["caption"] = "x" * (1 << 28)
    monkeypatch.setattr(isolated.isolated_reader, "__file__", str(script))
    _, report = imported("h5", tmp_path / "a.h5", tmp_path / "s")
    assert (report.written, report.skipped) == (2, 1)
    assert "h5, 1001: cannot be read (" in reasons(tmp_path / "s")[0]


def test_links_and_values_in_other_files_are_refused_in_hdf5(tmp_path: Path) -> None:
    made = images(6)
    secret = tmp_path / "secret"
    secret.write_bytes(np.full((5, SIZE), 7, "<f4").tobytes())
    with h5py.File(tmp_path / "other.h5", "w") as other:
        other["features"] = made[0].features
        other.create_group("group")
    with h5py.File(writers.volta_h5(tmp_path / "a.h5", made), "a") as file:
        count = len(made[0].features)
        for name in ("1000", "1001", "1002", "1003"):
            del file[name]["features"]
        file["1000"]["features"] = h5py.ExternalLink("other.h5", "features")
        file["1001"]["features"] = h5py.SoftLink("/1004/features")
        file["1002"].create_dataset("features", (count, SIZE), "<f4", external=[(str(secret), 0, count * SIZE * 4)])
        layout = h5py.VirtualLayout((count, SIZE), "<f4")
        layout[:] = h5py.VirtualSource(tmp_path / "other.h5", "features", (count, SIZE))
        file["1003"].create_virtual_dataset("features", layout)
        file["x1"] = h5py.ExternalLink("other.h5", "group")
        file["x2"] = h5py.SoftLink("/1004")
    store, report = imported("h5", tmp_path / "a.h5", tmp_path / "s")
    assert [row.image_id for row in store.captions()] == ["1004", "1005"]
    found = reasons(tmp_path / "s")
    assert len(found) == report.skipped == 6
    for place, words in enumerate(("features is a link", "features is a link", "external storage", "virtual dataset")):
        assert words in found[place]
    assert all("is a link, which is not followed" in reason for reason in found[4:])


@pytest.mark.parametrize("kind", ["external link", "soft link", "external storage", "virtual"])
def test_a_flat_hdf5_file_whose_arrays_lie_elsewhere_is_named(tmp_path: Path, kind: str) -> None:
    with h5py.File(writers.vilbert_h5(tmp_path / "a.h5", images(3)), "a") as file:
        shape = file["features"].shape
        del file["features"]
        if kind == "external link":
            file["features"] = h5py.ExternalLink("other.h5", "features")
        elif kind == "soft link":
            file["features"] = h5py.SoftLink("/cls_prob")
        elif kind == "virtual":
            layout = h5py.VirtualLayout(shape, "<f4")
            layout[:] = h5py.VirtualSource(tmp_path / "other.h5", "features", shape)
            file.create_virtual_dataset("features", layout)
        else:
            file.create_dataset("features", shape, "<f4", external=[(str(tmp_path / "x"), 0, h5py.h5f.UNLIMITED)])
    with pytest.raises(SourceError, match=r"features (is a link, which is not followed|lies in other files)"):
        open_format("h5", str(tmp_path / "a.h5"))


def test_msgpack_is_counted_while_it_is_unpacked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("msgpack")
    made = images(2)
    records = [(f"{n}".encode(), writers.packed(writers.pretraining_record(one))) for n, one in enumerate(made)]
    monkeypatch.setattr(lmdb_files, "MAX_ELEMENTS", 10_000)
    nested = b"\x98" + (b"\xdc\x03\xe8" + b"\x91\xc0" * 1000) * 8
    wide = b"\x98" + b"\xdd" + (1 << 20).to_bytes(4, "big") + b"\xc0" * (1 << 20) + b"\xc0" * 7
    own = b"\x98" + b"\xd4\x05a" * 8
    records += [(b"7", nested), (b"8", wide), (b"9", own)]
    path = writers.lmdb_of(tmp_path / "a.lmdb", records)
    _, report = imported("pretraining-lmdb", path, tmp_path / "s")
    assert (report.written, report.skipped) == (2, 3)
    many, long, strange = reasons(tmp_path / "s")
    assert "has more than 10,000 elements" in many
    assert "is no whole msgpack record" in long
    assert "a value of a type of its own is refused" in strange


def test_a_pickle_that_passes_a_limit_is_listed_and_so_is_a_list_of_ids(tmp_path: Path) -> None:
    made = images(3)
    records = [(one.name.encode(), pickle.dumps(writers.finetuning_record(one))) for one in made]
    shared = [0] * 2000
    bad = {**writers.finetuning_record(made[0]), "image_id": "9", "unused": [[shared] * 1000]}
    path = writers.lmdb_of(
        tmp_path / "a.lmdb", [*records, (b"9", pickle.dumps(bad)), (b"keys", pickle.dumps([shared] * 1000))]
    )
    _, report = imported("finetuning-lmdb", path, tmp_path / "s")
    assert (report.written, report.skipped) == (3, 2)
    listed, record = sorted(reasons(tmp_path / "s"), key=lambda one: "'keys'" not in one)
    assert "'keys': cannot be read (it holds more than 1,0" in listed
    assert "whether all its ids are there is not known" in listed
    assert "key '9': the pickle is refused: it holds more than 1,000,000 elements" in record


def test_cells_json_and_lines_beside_are_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.tsv").write_bytes(b"a" + b"\t" * 1000 + b"\nx\ty\n")
    first, second = LineFiles(str(tmp_path / "a.tsv"))
    with pytest.raises(RegionError, match="has 1,001 fields; at most 100 are read"):
        first.cells()
    assert second.cells() == [b"x", b"y"]
    assert json_from(b"[" + b"1," * 999_998 + b"1]", "x") == [1] * 999_999
    with pytest.raises(RegionError, match="x: its JSON has 1,000,001 elements; at most 1,000,000 are read"):
        json_from(b"[" + b"1," * 1_000_000 + b"1]", "x")
    made = images(2)
    features, objects, _ = writers.vinvl(tmp_path, made)
    longest = [max(len(line) for line in file.read_bytes().splitlines()) for file in (features, objects)]
    monkeypatch.setattr(vinvl_tsv, "MAX_RECORD", sum(longest) - 5)
    _, report = imported("vinvl-tsv", features, tmp_path / "s", objects=str(objects), feature_size=SIZE)
    assert (report.written, report.skipped) == (1, 1)
    assert f"with its objects in {objects} it is longer than {sum(longest) - 5:,} bytes" in reasons(tmp_path / "s")[0]


def test_numbers_are_counted_before_they_become_wider(tmp_path: Path) -> None:
    many = np.zeros((1000, 17_000), np.uint8)
    with pytest.raises(RegionError, match="x: its regions have 17,000,000 numbers; at most 16,777,216 are read"):
        checked(ForeignRegions(10, 10, np.zeros((1000, 4)), many), "x", 17_000, None)
    with pytest.raises(RegionError, match="x: its regions have 100,000,000 numbers"):
        spread(np.zeros(1000, np.int64), None, 100_000, "x", background=False)


def test_captions_of_a_record_are_as_long_as_those_of_a_file_may_be(tmp_path: Path) -> None:
    made = images(3)
    records = []
    for one, caption in zip(made, ["x" * 10_000, "x" * 10_001, ["x"] * 1001], strict=True):
        records.append((one.name.encode(), pickle.dumps({**writers.finetuning_record(one), "caption": caption})))
    _, report = imported("finetuning-lmdb", writers.lmdb_of(tmp_path / "a.lmdb", records), tmp_path / "s")
    assert (report.written, report.skipped) == (1, 2)
    assert "the longest of 10,001 characters; at most 1,000 of 10,000 are read" in reasons(tmp_path / "s")[0]


@pytest.mark.parametrize("name", ["s.csv", "s.hw.tsv"])
def test_a_line_of_sizes_without_an_end_is_refused(tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from interbert.regions.importers import sizes

    monkeypatch.setattr(sizes, "_MAX_LINE", 1000)
    start = "id,width,height\n1,5,6\n" if name == "s.csv" else '1\t{"height": 6, "width": 5}\n'
    (tmp_path / name).write_text(start)
    assert SizeIndex(str(tmp_path / name)).find("1") == (5, 6)
    (tmp_path / name).write_text(start + "2" * 5000)
    with pytest.raises(SourceError, match=r"line [23] has more than 1,000 characters"):
        SizeIndex(str(tmp_path / name))


def test_labels_and_answers_are_small_regular_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fields, "MAX_RECORD", 1000)
    features, *_ = writers.vinvl(tmp_path, images(2))
    with pytest.raises(SourceError, match=r"labels.json: is larger than 1,000 bytes"):
        open_format("vinvl-tsv", str(features), labels=str(tmp_path / "labels.json"))
    os.mkfifo(tmp_path / "pipe.json")
    with pytest.raises(SourceError, match=r"pipe.json: is no regular file"):
        open_format("vinvl-tsv", str(features), labels=str(tmp_path / "pipe.json"))


def test_a_record_that_its_reader_did_not_finish_is_none() -> None:
    whole = np.ones((2, 3), np.float32).tobytes()
    header = {"key": "a", "fields": [["x", "float32", [2, 3], len(whole)]]}
    record = isolated._record(header, io.BytesIO(whole))
    assert record is not None
    assert record.arrays["x"].shape == (2, 3)
    assert isolated._record(header, io.BytesIO(whole[:-1])) is None
    assert isolated._record({"key": "a", "bytes": 4}, io.BytesIO(b"abc")) is None
