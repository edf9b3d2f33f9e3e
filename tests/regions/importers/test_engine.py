"""Resuming, listing, duplicates, captions, limits: what every format gets from the one loop."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.forked import Fork
from tests.regions.importers import writers
from tests.regions.importers.writers import SIZE, Foreign, images

from interbert.cli.main import main
from interbert.errors import RegionError, SourceError, StoreError
from interbert.regions import commits
from interbert.regions.caption_index import CaptionIndex
from interbert.regions.importers.engine import ImportReport, import_to_store
from interbert.regions.importers.formats import importer_info, open_format
from interbert.regions.importers.rows import ForeignRegions, checked
from interbert.regions.name_index import NameIndex
from interbert.regions.schema import ExtractorInfo
from interbert.regions.store import RegionStore

INFO = ExtractorInfo("imported:bottom-up-tsv", {}, SIZE, None)


def run(source: Path, out: Path, captions: CaptionIndex | None = None, **options: Any) -> ImportReport:
    opened = open_format("bottom-up-tsv", str(source), feature_size=SIZE)
    return import_to_store(opened, out, importer_info(opened, "bottom-up-tsv"), captions, progress=False, **options)


def skipped(out: Path) -> list[dict[str, Any]]:
    return [json.loads(text) for text in (out / commits.SKIPPED).read_text(encoding="utf-8").splitlines()]


def ids(out: Path) -> list[str]:
    return [row.image_id for row in RegionStore.open(out).captions()]


def test_a_run_that_was_stopped_goes_on_and_repeats_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = writers.bottom_up(tmp_path / "a.tsv", images(12))
    monkeypatch.setattr(commits, "_COMMIT_ROWS", 3)
    append, calls = RegionStore.append, []

    def failing(self: RegionStore, records: Any) -> None:
        calls.append(len(records))
        if len(calls) == 3:
            raise KeyboardInterrupt
        append(self, records)

    with monkeypatch.context() as patch:
        patch.setattr(RegionStore, "append", failing)
        with pytest.raises(KeyboardInterrupt):
            run(path, tmp_path / "s")
    assert ids(tmp_path / "s") == [str(1000 + number) for number in range(6)]
    report = run(path, tmp_path / "s")
    assert (report.written, report.already) == (6, 6)
    assert ids(tmp_path / "s") == [str(1000 + number) for number in range(12)]
    again = run(path, tmp_path / "s")
    assert (again.written, again.already, again.skipped) == (0, 12, 0)


def test_large_rows_are_committed_by_their_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(commits, "_COMMIT_BYTES", 100)
    run(writers.bottom_up(tmp_path / "a.tsv", images(4)), tmp_path / "s")
    assert len(list((tmp_path / "s" / "data").glob("*.lance"))) > 1


def test_an_id_that_comes_twice_is_listed_once_and_named(tmp_path: Path) -> None:
    made = images(3)
    path = writers.bottom_up(tmp_path / "a.tsv", [*made, replace(made[0], width=300, height=300), made[1]])
    for _ in range(2):  # a second run lists them again
        run(path, tmp_path / "s")
        assert ids(tmp_path / "s") == ["1000", "1001", "1002"]
        lines = skipped(tmp_path / "s")
        assert [(line["row"], line["picture_id"]) for line in lines] == [(3, "1000"), (4, "1001")]
        assert lines[0]["reason"] == f"{path}, line 4: the id '1000' was there before, in row 0."
    assert RegionStore.open(tmp_path / "s").take([0])[0].width == 200


def test_another_file_with_the_same_ids_is_refused(tmp_path: Path) -> None:
    run(writers.bottom_up(tmp_path / "a.tsv", images(3)), tmp_path / "s")
    other = [replace(one, features=one.features + 1) for one in images(3)]
    with pytest.raises(StoreError, match=r"the store has other regions under the id '1000'.*another folder"):
        run(writers.bottom_up(tmp_path / "b.tsv", other), tmp_path / "s")
    assert len(ids(tmp_path / "s")) == 3


def test_another_file_with_other_ids_is_added(tmp_path: Path) -> None:
    run(writers.bottom_up(tmp_path / "a.tsv", images(3)), tmp_path / "s")
    run(writers.bottom_up(tmp_path / "b.tsv", images(3, first=3)), tmp_path / "s")
    assert ids(tmp_path / "s") == [str(1000 + number) for number in range(6)]


def test_a_store_of_another_extractor_is_refused(tmp_path: Path) -> None:
    run(writers.bottom_up(tmp_path / "a.tsv", images(3)), tmp_path / "s")
    opened = open_format("lxmert-tsv", str(writers.lxmert(tmp_path / "b.tsv", images(3))), feature_size=SIZE)
    with pytest.raises(StoreError, match=r"name imported:bottom-up-tsv, asked for imported:lxmert-tsv"):
        import_to_store(opened, tmp_path / "s", importer_info(opened, "lxmert-tsv"), progress=False)


def test_a_limit_counts_records(tmp_path: Path) -> None:
    path = writers.bottom_up(tmp_path / "a.tsv", images(5))
    run(path, tmp_path / "s", limit=2)
    assert len(ids(tmp_path / "s")) == 2
    run(path, tmp_path / "s")
    assert len(ids(tmp_path / "s")) == 5


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"boxes": np.array([[0, 0, 250, 20]])}, r"box 0 is 0.0, 0.0, 250.0, 20.0, outside its image of 200x100"),
        ({"boxes": np.array([[-30, 0, 20, 20]])}, "outside its image"),
        ({"boxes": np.array([[50, 0, 20, 20]])}, "its end lies before its start"),
        ({"boxes": np.array([[np.nan, 0, 20, 20]])}, "boxes hold NaN"),
        ({"boxes": np.zeros((1, 5))}, r"shape \[1, 5\]"),
        ({"boxes": np.zeros((0, 4))}, "has 0 regions"),
        ({"boxes": np.zeros((1001, 4))}, "has 1001 regions"),
        ({"features": np.full((1, SIZE), np.nan)}, "features hold NaN"),
        ({"features": np.full((1, SIZE), 1e6)}, "features hold NaN or infinite"),
        ({"features": np.zeros((1, SIZE + 1))}, "not .1, 8.*--feature-size"),
        ({"width": 0}, "an image's width of 0 pixels"),
        ({"height": 10**7}, "an image's height of 10000000 pixels"),
        ({"class_probs": None}, "shape none"),
        ({"class_probs": np.full((1, 4), 0.3)}, "sum to 1"),
        ({"class_probs": np.array([[2.0, -1, 0, 0]])}, "at least 0"),
        ({"class_probs": np.full((1, 4), np.nan)}, "probabilities are none"),
        ({"class_probs": np.full((1, 3), 1 / 3)}, r"shape \[1, 3\], not \[1, 4\]"),
    ],
)
def test_what_cannot_be_right_is_refused_with_its_reason(change: dict[str, Any], message: str) -> None:
    good = ForeignRegions(200, 100, np.array([[0.0, 0, 20, 20]]), np.zeros((1, SIZE)), np.full((1, 4), 0.25))
    checked(good, "here", SIZE, 4)
    with pytest.raises(RegionError, match=f"^here: .*{message}"):
        checked(replace(good, **change), "here", SIZE, 4)


def test_boxes_a_little_outside_are_clipped_and_boxes_without_area_stay() -> None:
    boxes = np.array([[-1.5, -1, 201.9, 101], [200, 50, 200, 100]])
    found = checked(ForeignRegions(200, 100, boxes, np.zeros((2, SIZE))), "here", SIZE, None)
    np.testing.assert_array_equal(found.boxes, [[0, 0, 200, 100], [200, 50, 200, 100]])


CAPTIONS: dict[str, Callable[[Path, list[Foreign]], Path]] = {
    "karpathy.json": writers.karpathy,
    "captions_train2014.json": writers.coco_annotations,
    "all_data_final_test.jsonline": writers.jsonline,
    "caption_train.json": writers.caption_json,
    "results_20130124.token": writers.flickr_token,
    "results.csv": writers.flickr_csv,
    "plain.csv": writers.plain_csv,
    "queries.jsonl": writers.muge_queries,
}


@pytest.mark.parametrize("name", CAPTIONS)
def test_captions_of_every_kind_are_joined_by_id(tmp_path: Path, name: str) -> None:
    made = images(4)
    names = ["COCO_val2014_000000001000", "1001", "0001002", "1003"]
    regions = [replace(one, name=other) for one, other in zip(made, names, strict=True)]
    index = CaptionIndex(CAPTIONS[name](tmp_path / name, made[:3]))
    report = run(writers.bottom_up(tmp_path / "a.tsv", regions), tmp_path / "s", index)
    rows = list(RegionStore.open(tmp_path / "s").captions())
    assert [row.image_id for row in rows] == names[:3]
    assert [row.texts for row in rows] == [one.texts for one in made[:3]]
    assert {field for row in rows for field in row.text_fields} == {"query" if "queries" in name else "caption"}
    assert report.skipped == 1
    assert f"'1003' has no caption in {tmp_path / name}" in skipped(tmp_path / "s")[0]["reason"]
    run(tmp_path / "a.tsv", tmp_path / "t", index, keep_without_text=True)
    assert [row.texts for row in RegionStore.open(tmp_path / "t").captions()] == [*(o.texts for o in made[:3]), ()]


def test_images_of_other_splits_are_left_out_and_not_listed(tmp_path: Path) -> None:
    made = images(6)
    splits = ("train", "restval", "test")
    path = writers.karpathy(tmp_path / "k.json", made[:5], lambda number: splits[number % 3])
    index = CaptionIndex(path, ["train", "restval"])
    report = run(writers.bottom_up(tmp_path / "a.tsv", made), tmp_path / "s", index)
    assert ids(tmp_path / "s") == ["1000", "1001", "1003", "1004"]
    assert (report.left_out, report.skipped) == (1, 1)
    with pytest.raises(SourceError, match=r"no captions of split dev\. Its splits: restval, test, train"):
        CaptionIndex(path, ["dev"])


@pytest.mark.parametrize(
    ("name", "same"),
    [
        ("val2014/COCO_val2014_000000391895.jpg", "391895"),
        ("00000391895", "391895"),
        ("1000092795.jpg", "1000092795"),
        ("a.b.jpg", "a.b"),
        ("000", "0"),
        ("red.PNG", "red"),
    ],
)
def test_names_of_one_image_are_the_same(name: str, same: str) -> None:
    assert NameIndex([name], "x").find(same).name == name
    assert NameIndex([same], "x").find(name).name == same


def test_the_exact_name_comes_before_what_names_share(tmp_path: Path) -> None:
    (tmp_path / "c.csv").write_text("id,caption\n007,bond\n7,seven\n")
    index = CaptionIndex(tmp_path / "c.csv")
    assert index.find("007") == (("bond",), ("caption",))
    assert index.find("7") == (("seven",), ("caption",))
    assert index.find("0007") == ((), ())
    assert index.match("0007").problem == f"it is ambiguous in {tmp_path / 'c.csv'}, which has '7' and '007'"
    assert index.find("8") == ((), ())


def test_zeros_are_passed_over_only_where_one_image_and_one_caption_can_be_meant(tmp_path: Path) -> None:
    (tmp_path / "c.csv").write_text("id,caption\n7,seven\n0012,twelve\n")
    names = ["007", "7", "12", "0013"]
    made = [replace(one, name=name) for one, name in zip(images(4), names, strict=True)]
    path = writers.bottom_up(tmp_path / "a.tsv", made)
    index = CaptionIndex(tmp_path / "c.csv")
    report = run(path, tmp_path / "s", index)
    assert {row.image_id: row.texts for row in RegionStore.open(tmp_path / "s").captions()} == {
        "7": ("seven",),
        "12": ("twelve",),
    }
    assert (report.skipped, report.unjoined) == (2, 0)
    assert [line["picture_id"] for line in skipped(tmp_path / "s")] == ["007", "0013"]
    assert skipped(tmp_path / "s")[0]["reason"] == (
        f"{path}, line 1: '007' has no caption in {tmp_path / 'c.csv'}: '7' in {tmp_path / 'c.csv'} is ambiguous: "
        "'7' has it too."
    )
    report = run(path, tmp_path / "t", index, keep_without_text=True)
    assert [row.texts for row in RegionStore.open(tmp_path / "t").captions()] == [(), ("seven",), ("twelve",), ()]
    assert (report.skipped, report.unjoined) == (0, 1)
    assert skipped(tmp_path / "t")[0]["reason"].endswith("It is kept without.")


def test_rows_that_give_no_caption_are_counted_and_listed(tmp_path: Path) -> None:
    captions = tmp_path / "results.csv"
    captions.write_text(
        "image_name| comment_number| comment\n1000.jpg| 0| a cat | on a mat\n1001.jpg| 4   A dog runs across .\n"
        "1002.jpg| 1\n1002.jpg| 2|  \n"
    )
    path = writers.bottom_up(tmp_path / "a.tsv", images(3))
    report = run(path, tmp_path / "s", CaptionIndex(captions))
    assert [row.texts for row in RegionStore.open(tmp_path / "s").captions()] == [
        ("a cat | on a mat",),
        ("A dog runs across .",),
    ]
    assert (report.written, report.skipped, report.unjoined) == (2, 1, 2)
    assert [(line["row"], line["picture_id"], line["reason"]) for line in skipped(tmp_path / "s")[:2]] == [
        (4, "1002.jpg", f"{captions}, row 4 has 2 cells, the first row has 3; image and text are cells 1 and 3."),
        (5, "1002.jpg", f"{captions}, row 5 has no text."),
    ]


def test_images_of_a_caption_file_that_are_not_there_are_counted_and_texts_that_are_none_are_listed(
    tmp_path: Path,
) -> None:
    captions = tmp_path / "c.tsv"
    captions.write_text(
        f"image_id\tcaption\n1000\ta cat\n1001.jpg\t{'long ' * 2001}\n7\tnobody\n7\tagain\n8\tnor this\n"
    )
    path = writers.bottom_up(tmp_path / "a.tsv", images(3))
    for _ in range(2):  # also when everything is there already
        report = run(path, tmp_path / "s", CaptionIndex(captions))
        assert (report.unjoined, report.absent) == (1, (2, "7"))
    assert skipped(tmp_path / "s")[0] == {
        "row": 3,
        "id": "1001.jpg",
        "picture_id": "1001.jpg",
        "reason": f"{captions}, row 3: its text has 10,004 characters; at most 10,000 are read.",
    }
    assert run(path, tmp_path / "t", CaptionIndex(captions), keep_without_text=True).absent == (2, "7")


def test_only_flickrs_names_have_the_number_of_a_caption_behind_them(tmp_path: Path) -> None:
    (tmp_path / "c.csv").write_text("image_id;caption\nSKU;front\nSKU#2;back\n#3;hat\n1000.jpg#0;one\n1000.jpg#1;two\n")
    index = CaptionIndex(tmp_path / "c.csv")
    assert index.passed_over == []
    assert {name: index.find(name)[0] for name in ("SKU", "SKU#2", "#3", "1000.jpg")} == {
        "SKU": ("front",),
        "SKU#2": ("back",),
        "#3": ("hat",),
        "1000.jpg": ("one", "two"),
    }


def test_a_text_with_commas_that_are_not_in_quotes_is_not_cut(tmp_path: Path) -> None:
    (tmp_path / "c.csv").write_text('id,caption\n1,"red, blue"\n2,red, blue\n3,green,\n')
    index = CaptionIndex(tmp_path / "c.csv")
    assert index.find("1") == (("red, blue",), ("caption",))
    assert index.find("2") == ((), ())
    assert index.find("3") == (("green",), ("caption",))
    assert [(line.row, line.image_id) for line in index.passed_over] == [(3, "2")]


def test_ids_that_became_floats_are_whole_numbers(tmp_path: Path) -> None:
    (tmp_path / "c.jsonl").write_text('{"image_id": 101.0, "caption": "red"}\n')
    assert CaptionIndex(tmp_path / "c.jsonl").find("101") == (("red",), ("caption",))


def test_texts_of_chinese_clip_name_lists_of_images(tmp_path: Path) -> None:
    path = tmp_path / "train_texts.jsonl"
    path.write_text(
        '{"text_id": 8428, "text": "高级感托特包斜挎", "image_ids": [1076345, 517602]}\n'
        '{"text_id": 8429, "text": "held back", "image_ids": []}\n{"text_id": 8430, "text": "held back"}\n',
        encoding="utf-8",
    )
    index = CaptionIndex(path)
    assert index.find("1076345") == index.find("517602") == (("高级感托特包斜挎",), ("caption",))
    assert index.find("8428") == ((), ())
    assert [line.reason for line in index.passed_over] == [
        f"{path}, line {number}: names no image." for number in (2, 3)
    ]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.json", b"{", "no whole JSON"),
        ("a.json", b'{"images": [{"filename": "a.jpg", "sentences": [{"raw": "x"}]}', "no whole JSON"),
        ("a.json", b'{"a": 3}', "no captions of a known form"),
        ("a.json", b"[3]", "element 0: is no record"),
        ("a.json", b"", "no whole JSON"),
        ("a.json", b'["' + b"x" * 100 + b"\xff", "no text in UTF-8"),
        ("a.json", b"[" * 100_000, "nested too deeply"),
        ("a.jsonl", b'{"id": 1, "caption": "x"}\n{"id"', "line 2 is no JSON"),
        ("a.jsonl", b'{"caption": "x"}\n', "line 1: names no image"),
        ("a.jsonl", b'{"id": 1}\n', "line 1: has no text"),
        ("a.jsonl", b"\n\n", "holds no captions"),
        ("a.csv", b"", "the file is empty"),
        ("a.csv", b"what,ever,else\n1,2,3\n", "Put a header on top"),
        ("a.tsv", b"image_id\tcaption\n1\n", "row 2 has 1 cells"),
        ("a.csv", "id,caption\n1,Kleid für\n".encode("latin-1"), "no text in UTF-8"),
        ("gone.json", None, "no such caption file"),
    ],
)
def test_a_caption_file_that_cannot_be_read_is_named(
    tmp_path: Path, name: str, content: bytes | None, message: str
) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(SourceError, match=f"^{tmp_path / name}.*{message}") as caught:
        CaptionIndex(tmp_path / name)
    assert "\n" not in str(caught.value)


def test_the_command_line_says_what_was_done(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made = images(4)
    path = writers.bottom_up(tmp_path / "a.tsv", [*made, made[0]])
    captions = writers.karpathy(tmp_path / "k.json", made, lambda number: "test" if number == 3 else "train")
    words = ["import", "bottom-up-tsv", str(path), str(tmp_path / "s"), "--feature-size", str(SIZE)]
    assert main([*words, "--captions", str(captions), "--caption-split", "train"]) == 0
    shown = capsys.readouterr().out
    assert "bottom-up-tsv, regions of 8 floats, no classes" in shown
    assert "3 images written" in shown
    assert "1 images left out" in shown
    assert f"1 records skipped, see {tmp_path / 's'}/skipped.jsonl" in shown
    wrong = {
        "--feature-size": "0",
        "--captions": str(tmp_path / "gone.json"),
        "--sizes": "x",
        "--caption-split": "train",
    }
    for option, value in wrong.items():
        assert main([*words, option, value]) == 2
        assert len(capsys.readouterr().err.splitlines()) == 1
    assert main(["import", "bottom-up-tsv", str(tmp_path / "gone.tsv"), str(tmp_path / "t")]) == 2
    assert f"{tmp_path / 'gone.tsv'}: there is no such file" in capsys.readouterr().err


SLOW = """
import sys, time
from interbert.regions import commits
from interbert.regions.importers import engine
from interbert.cli.main import main

commits._COMMIT_ROWS = 4
check = engine.checked
def slowly(*given):
    time.sleep(0.02)
    return check(*given)
engine.checked = slowly
sys.exit(main(sys.argv[1:]))
"""


def test_a_process_that_is_killed_leaves_whole_commits_and_the_next_completes(tmp_path: Path) -> None:
    path = writers.bottom_up(tmp_path / "a.tsv", images(60))
    words = ["import", "bottom-up-tsv", str(path), str(tmp_path / "s"), "--feature-size", str(SIZE)]
    child = Fork(SLOW, *words)
    deadline = time.monotonic() + 120
    while len(list((tmp_path / "s").glob("data/*.lance"))) < 2 and time.monotonic() < deadline:
        time.sleep(0.02)
    child.kill()
    child.wait()
    there = len(ids(tmp_path / "s"))
    assert 4 <= there < 60
    assert there % 4 == 0
    report = run(path, tmp_path / "s")
    assert (report.already, report.written) == (there, 60 - there)
    assert ids(tmp_path / "s") == [str(1000 + number) for number in range(60)]


def test_who_made_regions_is_published_without_credentials_and_folders(tmp_path: Path) -> None:
    """The name stands in the store, in every model that learns from it, in pages and cards."""
    source = open_format("npy-folder", str(writers.npz(tmp_path / "f", images(1))))
    made_by = f"[/b] net s3://key:hidden@bucket/det?token=hidden {tmp_path}/det.pth"
    assert importer_info(source, made_by).name == "imported:[/b] net s3://bucket/det det.pth"
    assert importer_info(source, "bottom-up-attention/4-tasks@v1").name == "imported:bottom-up-attention/4-tasks@v1"
