"""Every reader of regions against damage: a record is a row, or is refused with a reason; nothing else happens.

"Nothing else" means no other error, no record that is passed over, and no memory beyond a bound.
"""

from __future__ import annotations

import json
import pickle
import tracemalloc
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.regions.importers import writers
from tests.regions.importers.damage import HOSTILE_FIELDS, damaged, hostile_lines, refusal, rounds
from tests.regions.importers.writers import SIZE, Foreign, images

from interbert.errors import RegionError, SourceError
from interbert.regions.commits import SKIPPED
from interbert.regions.importers.engine import import_to_store
from interbert.regions.importers.formats import importer_info, open_format
from interbert.regions.importers.rows import ForeignSource, checked
from interbert.regions.store import RegionStore

MEMORY = 100_000_000
"""Bytes that no test file of some kilobytes may make a reader take."""


def outcome(source: ForeignSource) -> tuple[int, list[str]]:
    """How many records are rows, and why the others are not."""
    rows, reasons = 0, []
    for row in source.rows():
        try:
            regions = checked(row.read(), row.where, source.feature_size, source.num_classes)
            source.texts_of(row.image_id)
        except RegionError as error:
            reasons.append(str(error))
            continue
        rows += 1
        assert row.image_id
        assert np.isfinite(regions.features).all()
        assert (regions.boxes >= 0).all()
        assert (regions.boxes[:, 2:] <= [regions.width, regions.height]).all()
        assert len(regions.boxes) == len(regions.features) > 0
        if regions.class_probs is not None:
            np.testing.assert_allclose(regions.class_probs.astype(np.float64).sum(1), 1, atol=0.03)
    assert all(reason.strip() and "\n" not in reason for reason in reasons)
    return rows, reasons


TSV: dict[str, tuple[str, Callable[[Path, list[Foreign]], Path], Mapping[str, Any]]] = {
    "bottom-up": ("bottom-up-tsv", lambda p, m: writers.bottom_up(p / "a.tsv", m), {}),
    "bottom-up with classes": ("bottom-up-tsv", lambda p, m: writers.bottom_up(p / "a.tsv", m, probabilities=True), {}),
    "lxmert": ("lxmert-tsv", lambda p, m: writers.lxmert(p / "a.tsv", m), {}),
    "kdd": ("kdd-tsv", lambda p, m: writers.kdd(p / "a.tsv", m, header=False), {}),
    "vinvl": (
        "vinvl-tsv",
        lambda p, m: writers.vinvl(p, m)[0],
        {"objects": "predictions.tsv", "labels": "labels.json"},
    ),
    "vinvl in three": ("vinvl-tsv", lambda p, m: writers.vinvl(p, m, True)[0], {"objects": "predictions.tsv"}),
    "vinvl alone": ("vinvl-tsv", lambda p, m: writers.vinvl(p, m)[1], {}),
}


def options_of(tmp_path: Path, kind: str) -> dict[str, Any]:
    return {"feature_size": SIZE, **{name: str(tmp_path / file) for name, file in TSV[kind][2].items()}}


@pytest.mark.parametrize("kind", TSV)
def test_damaged_lines_are_rows_or_are_refused_and_none_is_passed_over(tmp_path: Path, kind: str) -> None:
    name, write, _ = TSV[kind]
    path = write(tmp_path, images(6))
    content = path.read_bytes()
    read, refused = 0, 0
    for seed in rounds(120):
        path.write_bytes(damaged(content, seed))
        lines = sum(1 for line in path.read_bytes().split(b"\n") if line.strip(b"\r\n\t ") or line.strip(b"\r\n"))
        source, reason = refusal(path, open_format, name, str(path), **options_of(tmp_path, kind))
        if reason is not None:
            refused += 1
            continue
        rows, reasons = outcome(source)
        assert lines - 1 <= rows + len(reasons) <= lines, seed  # a damaged id may read as the header's
        read += rows
        refused += len(reasons)
    if kind != "vinvl alone":  # predictions without a feature each are never rows
        assert read > 300
    assert refused > 40


@pytest.mark.parametrize("kind", TSV)
def test_every_hostile_field_is_a_row_or_is_refused(tmp_path: Path, kind: str) -> None:
    name, write, _ = TSV[kind]
    made = images(1)
    path = write(tmp_path, made)
    good = path.read_bytes().splitlines()[0]
    lines = list(hostile_lines(good))
    path.write_bytes(b"\n".join([good] * 20 + [line for line in lines if line.strip()]))
    tracemalloc.start()
    try:
        source = open_format(name, str(path), **options_of(tmp_path, kind))
        rows, reasons = outcome(source)
        assert tracemalloc.get_traced_memory()[1] < MEMORY
    finally:
        tracemalloc.stop()
    assert rows + len(reasons) == 20 + sum(1 for line in lines if line.strip())
    assert len(reasons) > len(lines) // 2
    assert len({reason.split(":", 1)[1] for reason in reasons}) > 8  # reasons say what is wrong, not that something is


def test_a_line_without_an_end_takes_no_memory_and_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from interbert.regions.importers import detector_tsv as lines

    monkeypatch.setattr(lines, "MAX_RECORD", 100_000)
    path = writers.bottom_up(tmp_path / "a.tsv", images(2))
    good = path.read_bytes()
    path.write_bytes(good + b"x" * 5_000_000 + b"\n" + good.replace(b"1000\t", b"7\t"))
    tracemalloc.start()
    try:
        rows, reasons = outcome(open_format("bottom-up-tsv", str(path), feature_size=SIZE))
        assert tracemalloc.get_traced_memory()[1] < 3_000_000
    finally:
        tracemalloc.stop()
    assert rows == 4
    assert len(reasons) == 1
    assert "line 3: is longer than" in reasons[0]


LIBRARIES: dict[str, tuple[str, Callable[[Path, list[Foreign]], Path]]] = {
    "fine-tuning": ("finetuning-lmdb", lambda p, m: writers.finetuning_lmdb(p / "a.lmdb", m)),
    "pretraining": ("pretraining-lmdb", lambda p, m: writers.pretraining_lmdb(p / "a.lmdb", m)),
    "volta": ("h5", lambda p, m: writers.volta_h5(p / "a.h5", m)),
    "vilbert": ("h5", lambda p, m: writers.vilbert_h5(p / "a.h5", m)),
}


@pytest.mark.parametrize("kind", LIBRARIES)
def test_a_damaged_database_gives_rows_and_reasons_and_ends_no_process(tmp_path: Path, kind: str) -> None:
    name, write = LIBRARIES[kind]
    path = write(tmp_path, images(4))
    content = path.read_bytes()
    outcomes = set()
    for seed in rounds(10):
        path.write_bytes(damaged(content, seed) if seed > 1 else content[: len(content) * (seed + 1) // 3])
        source, reason = refusal(path, open_format, name, str(path))
        found, broken = (None, None) if reason is not None else refusal(path, outcome, source)
        outcomes.add("refused" if reason is not None else "damaged" if broken is not None else f"{found[0]} rows")
    assert "refused" in outcomes


def test_a_file_that_ends_its_reader_is_named_and_what_came_before_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from interbert.regions.importers import isolated_reader

    script = tmp_path / "reader.py"
    source = Path(isolated_reader.__file__).read_text()
    loop = "        for key, value in transaction.cursor():\n"
    script.write_text(source.replace(loop, f"{loop}            if bytes(key) == b'1003': os.kill(os.getpid(), 11)\n"))
    path = writers.finetuning_lmdb(tmp_path / "a.lmdb", images(6))
    opened = open_format("finetuning-lmdb", str(path))
    monkeypatch.setattr(isolated_reader, "__file__", str(script))
    with pytest.raises(SourceError, match=r"is damaged after 4 records \(its reader ended with SIGSEGV"):
        import_to_store(opened, tmp_path / "s", importer_info(opened, "finetuning-lmdb"), progress=False)
    assert [row.image_id for row in RegionStore.open(tmp_path / "s").captions()] == ["1000", "1001", "1002"]


class Evil:
    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> Any:
        return exec, (f"open({str(self.target)!r}, 'w')",)


def hostile_records(target: Path) -> list[Any]:
    """Records of a database that are not what they should be."""
    good = writers.finetuning_record(images(1)[0])
    records: list[Any] = [
        None,
        3,
        "text",
        [],
        {},
        [1, 2],
        {"image_id": "1000"},
        {1: 2},
        Evil(target),
        {"a": Evil(target)},
    ]
    for name in good:
        records += [{key: value for key, value in good.items() if key != name}]
        records += [{**good, name: value} for value in HOSTILE_FIELDS]
        others: list[Any] = [None, -1, 1e400, [1], {"x": 1}, np.zeros((0, 4)), np.zeros((2, 2, 2)), np.array(["a"])]
        records += [{**good, name: value} for value in others]
    return records


@pytest.mark.parametrize("kind", ["finetuning-lmdb", "pretraining-lmdb"])
def test_every_hostile_record_is_a_row_or_is_refused(tmp_path: Path, kind: str) -> None:
    made = images(20)
    target = tmp_path / "harm"
    hostile = hostile_records(target)
    if kind == "finetuning-lmdb":
        good = [(one.name.encode(), pickle.dumps(writers.finetuning_record(one))) for one in made]
        bad = [(f"5{number:07}".encode(), pickle.dumps(value)) for number, value in enumerate(hostile)]
    else:
        good = [
            (f"{number:08}".encode(), writers.packed(writers.pretraining_record(one)))
            for number, one in enumerate(made)
        ]
        lists = []
        record = writers.pretraining_record(made[0])
        for place in range(len(record)):
            lists += [record[:place] + record[place + 1 :]]
            lists += [
                [*record[:place], value, *record[place + 1 :]] for value in (*HOSTILE_FIELDS, None, [], {}, -1, 1e300)
            ]
        plain = [value for value in hostile if not any(isinstance(one, Evil) for one in _members(value))]
        values = [b"", b"\x98", b"\xdd\xff\xff\xff\xff", b"\x9f" * 2000, pickle.dumps(Evil(target))]
        values += [writers.packed({b"nd": True, b"type": "<f8", b"kind": b"", b"shape": (1 << 40,), b"data": b""})]
        values += [writers.packed({b"nd": True, b"type": "O", b"kind": b"O", b"data": pickle.dumps(Evil(target))})]
        values += [writers.packed(value) for value in (*lists, *_packable(plain))]
        bad = [(f"5{number:07}".encode(), value) for number, value in enumerate(values)]
    path = writers.lmdb_of(tmp_path / "a.lmdb", [*good, *bad])
    tracemalloc.start()
    try:
        rows, reasons = outcome(open_format(kind, str(path)))
        assert tracemalloc.get_traced_memory()[1] < MEMORY
    finally:
        tracemalloc.stop()
    assert not target.exists()
    assert rows + len(reasons) == len(good) + len(bad)
    assert rows >= 20
    assert len(reasons) > len(bad) // 2


def _packable(values: list[Any]) -> list[Any]:
    return [
        value
        for value in values
        if not any(isinstance(one, np.ndarray) and one.dtype.kind == "U" for one in _members(value))
    ]


def _members(value: Any) -> list[Any]:
    return list(value.values()) if isinstance(value, dict) else list(value) if isinstance(value, list) else [value]


def numpy_files(folder: Path, target: Path) -> None:
    """One file for every way in which a numpy file can be wrong."""
    folder.mkdir(exist_ok=True)
    made = images(20)
    writers.npz(folder, made)
    npz, npy = (folder / "1000.npz").read_bytes(), None
    np.save(folder / "one.npy", made[0].features)
    npy = (folder / "one.npy").read_bytes()
    for seed in range(60):
        (folder / f"z{seed}.npz").write_bytes(damaged(npz, seed))
        (folder / f"y{seed}.npy").write_bytes(damaged(npy, seed))
    np.save(folder / "evil.npy", np.array([Evil(target)], dtype=object), allow_pickle=True)
    np.savez(folder / "evil2.npz", x=np.array([Evil(target)], dtype=object), bbox=made[0].boxes)
    header = b"{'descr': '<f4', 'fortran_order': False, 'shape': (1099511627776, 2048), }"
    (folder / "claims.npy").write_bytes(b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header)
    (folder / "header.npy").write_bytes(b"\x93NUMPY\x02\x00" + (1 << 31).to_bytes(4, "little") + b"{" * 100)
    with zipfile.ZipFile(folder / "bomb.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(
            "x.npy", b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header + bytes(100_000_000)
        )
    (folder / "empty.npz").write_bytes(b"")
    (folder / "text.npy").write_text("hello")
    (folder / "folder.npy").mkdir()
    (folder / "lost.npz").symlink_to(folder / "nowhere")


def test_every_hostile_numpy_file_is_a_row_or_is_refused(tmp_path: Path) -> None:
    target = tmp_path / "harm"
    numpy_files(tmp_path / "f", target)
    files = [file for file in (tmp_path / "f").iterdir() if file.name != "folder.npy"]
    tracemalloc.start()
    try:
        rows, reasons = outcome(open_format("npy-folder", str(tmp_path / "f")))
        assert tracemalloc.get_traced_memory()[1] < MEMORY
    finally:
        tracemalloc.stop()
    assert not target.exists()
    assert rows + len(reasons) == len(files)
    assert rows >= 20
    assert any("which is no data; nothing was run" in reason for reason in reasons)
    assert any("an array of 9,007,199,254,740,992 bytes" in reason for reason in reasons)


def test_what_is_refused_is_counted_and_listed_and_the_rest_is_stored(tmp_path: Path) -> None:
    path = writers.bottom_up(tmp_path / "a.tsv", images(30))
    lines = path.read_bytes().splitlines()
    extra = list(hostile_lines(lines[0].replace(b"1000\t", b"99\t")))
    path.write_bytes(b"\n".join([*lines, *(line for line in extra if line.strip())]))
    opened = open_format("bottom-up-tsv", str(path), feature_size=SIZE)
    report = import_to_store(opened, tmp_path / "s", importer_info(opened, "x"), progress=False)
    listed = [json.loads(line) for line in (tmp_path / "s" / SKIPPED).read_text(encoding="utf-8").splitlines()]
    assert report.skipped == len(listed) > 100
    assert report.written + report.skipped == 30 + sum(1 for line in extra if line.strip())
    assert all(line["reason"].startswith(f"{path}, line {line['row'] + 1}: ") for line in listed)
    store = RegionStore.open(tmp_path / "s")
    assert len(store.take(range(len(store)))) == report.written
