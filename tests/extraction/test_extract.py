from __future__ import annotations

import errno
import json
import os
import signal
import time
from pathlib import Path

import lance
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image, ImageOps
from tests.conftest import draw, file_bytes
from tests.forked import COMMAND, Fork

from interbert.cli.main import main
from interbert.errors import SourceError, StoreError
from interbert.extraction import decoding
from interbert.extraction.columns import ColumnMapping
from interbert.extraction.extract import extract_images, extract_to_store
from interbert.extraction.grid import GridExtractor, GridSettings
from interbert.extraction.images import load_image
from interbert.extraction.sources import ImageSource, open_source
from interbert.regions import commits
from interbert.regions.commits import SKIPPED
from interbert.regions.store import RegionStore

SMALL = ["--input-size", "64", "--scales", "1", "--features", "colour,head"]

SLOW = """
import signal, sys, time
from interbert.extraction import decoding
from interbert.regions import commits
from interbert.cli.main import main

signal.signal(signal.SIGINT, signal.default_int_handler)  # tests that run in the background inherit that it is ignored
decoding._CHUNK, commits._COMMIT_ROWS = 8, 16
decode = decoding._decode
def slowly(item):
    time.sleep(0.02)
    return decode(item)
decoding._decode = slowly
sys.exit(main(sys.argv[1:]))
"""


@pytest.fixture(scope="module")
def extractor() -> GridExtractor:
    return GridExtractor(GridSettings(input_size=64, scales=(1,), features=("colour", "head")))


def shop_source(shop: Path) -> ImageSource:
    return open_source(str(shop), ColumnMapping("image", ("title", "title_zh"), "id"))


def write(path: Path, images: list[bytes | None], titles: list[str | None]) -> str:
    pq.write_table(pa.table({"image": images, "title": titles}), path)
    return str(path)


def many(path: Path, count: int) -> str:
    """So many images, each of its own grey."""
    images = [file_bytes(Image.new("L", (8, 8), row)) for row in range(count)]
    return write(path, images, [f"grey {row}" for row in range(count)])


def skipped(out: Path) -> list[dict]:
    return [json.loads(line) for line in (out / SKIPPED).read_text(encoding="utf-8").splitlines()]


def keys(out: Path) -> list[tuple[str, int]]:
    """Every row's key, repeats and all."""
    return [(row.image_id, row.view) for row in RegionStore.open(out).captions()]


def test_every_row_is_written_with_its_texts_ids_and_regions(
    shop: Path, tmp_path: Path, extractor: GridExtractor
) -> None:
    source = shop_source(shop)
    report = extract_to_store(source, tmp_path / "s", extractor, progress=False)
    assert (report.written, report.already, report.skipped) == (24, 0, 0)
    store = RegionStore.open(tmp_path / "s")
    assert store.info == extractor.info
    rows = list(store.captions())
    for item, row, regions in zip(source, rows, store.take(range(24)), strict=True):
        assert (row.image_id, row.view, row.source_row, row.texts, row.text_fields) == (
            item.image_id,
            0,
            item.row,
            item.texts,
            ("title", "title_zh"),
        )
        assert isinstance(item.data, bytes)
        wanted = extractor.detect([load_image(item.data, "")])[0]
        np.testing.assert_allclose(
            regions.features.astype(np.float32), wanted.features.astype(np.float32), rtol=2e-3, atol=1e-3
        )
    assert len({row.digest for row in rows}) == 24
    assert skipped(tmp_path / "s") == []


def test_what_cannot_be_used_is_skipped_and_listed_with_row_and_reason(
    tmp_path: Path, extractor: GridExtractor
) -> None:
    good = file_bytes(draw("red", "circle"))
    images = [good, b"", b"not an image", good[: len(good) // 2], None, good, good]
    name = write(tmp_path / "a.parquet", images, ["a", "b", "c", "d", "e", None, "g"])
    report = extract_to_store(open_source(name), tmp_path / "s", extractor, progress=False)
    assert (report.written, report.skipped) == (2, 5)
    assert keys(tmp_path / "s") == [("0", 0), ("6", 0)]
    listed = skipped(tmp_path / "s")
    assert [one["row"] for one in listed] == [1, 2, 3, 4, 5]
    assert [one["picture_id"] for one in listed] == ["1", "2", "3", "4", "5"]
    reasons = ["not a readable image", "not a readable image", "not a readable image", "empty", "has no text"]
    for one, reason in zip(listed, reasons, strict=True):
        assert reason in one["reason"]


def test_an_image_whose_path_cannot_exist_is_skipped_like_any_other(tmp_path: Path, extractor: GridExtractor) -> None:
    (tmp_path / "red.png").write_bytes(file_bytes(draw("red", "circle")))
    rows = {"file": ["red.png", "x" * 3000 + ".png"], "title": ["a", "b"]}
    pq.write_table(pa.table(rows), tmp_path / "a.parquet")
    source = open_source(str(tmp_path / "a.parquet"))
    report = extract_to_store(source, tmp_path / "s", extractor, progress=False)
    assert (report.written, report.skipped) == (1, 1)


def test_images_without_a_text_are_kept_when_texts_are_not_needed(tmp_path: Path, extractor: GridExtractor) -> None:
    name = write(tmp_path / "a.parquet", [file_bytes(draw("red", "circle"))] * 2, ["a", None])
    source = open_source(name)
    report = extract_to_store(source, tmp_path / "s", extractor, need_texts=False, progress=False)
    assert (report.written, report.skipped) == (2, 0)


def test_a_rerun_writes_nothing_twice_and_lists_anew_what_it_skips(tmp_path: Path, extractor: GridExtractor) -> None:
    good = file_bytes(draw("red", "circle"))
    name = write(tmp_path / "a.parquet", [good, b"not an image", good], ["a", "b", "c"])
    extract_to_store(open_source(name), tmp_path / "s", extractor, progress=False)
    fingerprint = RegionStore.open(tmp_path / "s").fingerprint
    report = extract_to_store(open_source(name), tmp_path / "s", extractor, progress=False)
    assert (report.written, report.already, report.skipped) == (0, 2, 1)
    assert RegionStore.open(tmp_path / "s").fingerprint == fingerprint
    assert [one["row"] for one in skipped(tmp_path / "s")] == [1]


def test_mirrored_views_are_added_once_and_are_mirrored(shop: Path, tmp_path: Path, extractor: GridExtractor) -> None:
    source = shop_source(shop).select([3, 20])
    extract_to_store(source, tmp_path / "s", extractor, progress=False)
    for written in (2, 0):
        report = extract_to_store(source, tmp_path / "s", extractor, mirrored=True, progress=False)
        assert report.written == written
    names = source.image_ids()
    assert keys(tmp_path / "s") == [(names[0], 0), (names[1], 0), (names[0], 1), (names[1], 1)]
    data = source[0].data
    assert isinstance(data, bytes)
    turned = extractor.detect([ImageOps.mirror(load_image(data, ""))])[0]
    taken = RegionStore.open(tmp_path / "s").take([2])[0]
    np.testing.assert_allclose(
        taken.features.astype(np.float32), turned.features.astype(np.float32), rtol=2e-3, atol=1e-3
    )


def test_a_limit_takes_the_first_rows_and_more_can_follow(shop: Path, tmp_path: Path, extractor: GridExtractor) -> None:
    source = shop_source(shop)
    for limit, written in ((5, 5), (7, 2), (5, 0)):
        report = extract_to_store(source, tmp_path / "s", extractor, limit=limit, progress=False)
        assert report.written == written
    assert [name for name, _ in keys(tmp_path / "s")] == source.image_ids()[:7]


def test_chunks_and_commits_of_any_size_give_the_same_rows(
    tmp_path: Path, extractor: GridExtractor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(decoding, "_CHUNK", 3)
    monkeypatch.setattr(commits, "_COMMIT_ROWS", 4)
    source = open_source(many(tmp_path / "a.parquet", 11))
    extract_to_store(source, tmp_path / "s", extractor, mirrored=True, progress=False)
    found = keys(tmp_path / "s")
    assert sorted(found) == sorted((str(row), view) for row in range(11) for view in (0, 1))


def test_a_source_without_one_usable_image_says_where_the_reasons_are(tmp_path: Path, extractor: GridExtractor) -> None:
    name = write(tmp_path / "a.parquet", [b"x", b"y"], ["a", "b"])
    with pytest.raises(SourceError, match=f"none of its 2 images.*{tmp_path / 's' / SKIPPED}"):
        extract_to_store(open_source(name), tmp_path / "s", extractor, progress=False)
    assert len(skipped(tmp_path / "s")) == 2


def test_a_store_of_another_extractor_is_not_added_to(shop: Path, tmp_path: Path, extractor: GridExtractor) -> None:
    source = shop_source(shop).select([0])
    extract_to_store(source, tmp_path / "s", extractor, progress=False)
    other = GridExtractor(GridSettings(input_size=96, scales=(1,), features=("colour", "head")))
    with pytest.raises(StoreError, match="input_size 64, asked for 96"):
        extract_to_store(shop_source(shop), tmp_path / "s", other, progress=False)
    assert len(RegionStore.open(tmp_path / "s")) == 1


def test_a_small_catalogue_is_extracted_in_memory_with_its_problems(tmp_path: Path, extractor: GridExtractor) -> None:
    good = file_bytes(draw("red", "circle"))
    name = write(tmp_path / "a.parquet", [good, b"not an image", good], ["a", "b", None])
    records, problems = extract_images(open_source(name), extractor)
    assert [record.image_id for record in records] == ["0", "2"]
    assert [name for name, _ in problems] == ["1"]
    assert "not a readable image" in problems[0][1]


def test_a_full_disk_keeps_the_commits_and_a_rerun_completes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(decoding, "_CHUNK", 4)
    monkeypatch.setattr(commits, "_COMMIT_ROWS", 4)
    words = ["extract", many(tmp_path / "a.parquet", 20), str(tmp_path / "s"), *SMALL]
    plain, calls = lance.write_dataset, []

    def filling(*arguments: object, **options: object) -> object:
        calls.append(1)
        if len(calls) > 3:
            raise OSError(errno.ENOSPC, "No space left on device")
        return plain(*arguments, **options)

    with monkeypatch.context() as patch:
        patch.setattr(lance, "write_dataset", filling)
        assert main(words) == 1
    shown = capsys.readouterr().err.strip().splitlines()
    assert [line for line in shown if line.startswith("interbert: ")] == shown[-1:]
    assert f"{tmp_path / 's'}: the disk is full" in shown[-1]
    assert len(RegionStore.open(tmp_path / "s")) == 8
    assert main(words) == 0
    assert keys(tmp_path / "s") == [(str(row), 0) for row in range(20)]


def test_an_image_that_has_no_finite_regions_does_not_lose_the_others(
    tmp_path: Path, extractor: GridExtractor, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = open_source(many(tmp_path / "a.parquet", 6))
    plain = GridExtractor.detect

    def overflowing(self: GridExtractor, images: list[Image.Image]) -> list:
        found = plain(self, images)
        for image, regions in zip(images, found, strict=True):
            if image.getpixel((0, 0)) == (3, 3, 3):
                regions.features[0, 0] = np.inf
        return found

    monkeypatch.setattr(GridExtractor, "detect", overflowing)
    report = extract_to_store(source, tmp_path / "s", extractor, progress=False)
    assert (report.written, report.skipped) == (5, 1)
    assert skipped(tmp_path / "s")[0]["row"] == 3


@pytest.mark.parametrize("mirrored", [False, True])
def test_an_image_that_the_network_stumbles_over_does_not_lose_the_others(
    mirrored: bool, tmp_path: Path, extractor: GridExtractor, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = open_source(many(tmp_path / "a.parquet", 6))
    plain = GridExtractor.detect

    def stumbling(self: GridExtractor, images: list[Image.Image]) -> list:
        if any(image.getpixel((0, 0)) == (3, 3, 3) for image in images):
            raise ValueError("Size must contain 'height'\nand more")
        return plain(self, images)

    monkeypatch.setattr(GridExtractor, "detect", stumbling)
    report = extract_to_store(source, tmp_path / "s", extractor, mirrored=mirrored, progress=False)
    assert report.written == 5 * (1 + mirrored)
    (refused, *again) = skipped(tmp_path / "s")
    assert len(again) == mirrored
    assert refused["row"] == 3
    assert "row 3: the extractor cannot describe it" in refused["reason"]
    assert "(Size must contain 'height')" in refused["reason"]
    records, problems = extract_images(source, extractor)
    assert [name for name, _ in problems] == ["3"]
    assert len(records) == 5


def test_an_extractor_that_stumbles_over_everything_is_broken(
    tmp_path: Path, extractor: GridExtractor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(GridExtractor, "detect", lambda self, images: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        extract_to_store(open_source(many(tmp_path / "a.parquet", 6)), tmp_path / "s", extractor, progress=False)


def start(words: list[str]) -> Fork:
    return Fork(SLOW, *words)


def wait_for_commits(out: Path, process: Fork, commits: int) -> None:
    for _ in range(1200):
        if len(list(out.glob("_versions/*.manifest"))) > commits:
            return
        assert process.poll() is None, process.communicate()
        time.sleep(0.05)
    pytest.fail("nothing was committed in a minute")


def test_after_a_kill_the_store_is_whole_and_the_same_command_completes_it(tmp_path: Path) -> None:
    words = ["extract", many(tmp_path / "a.parquet", 220), str(tmp_path / "s"), *SMALL]
    process = start(words)
    try:
        wait_for_commits(tmp_path / "s", process, 3)
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
    kept = keys(tmp_path / "s")
    assert 48 <= len(kept) < 220
    assert kept == [(str(row), 0) for row in range(len(kept))]
    assert main(words) == 0
    assert keys(tmp_path / "s") == [(str(row), 0) for row in range(220)]
    store = RegionStore.open(tmp_path / "s")
    greys = [float(regions.features[0, 0]) for regions in store.take(range(220))]
    np.testing.assert_allclose(greys, np.arange(220) / 255, atol=1e-3)


def test_ctrl_c_keeps_what_was_computed_and_says_how_to_go_on(tmp_path: Path) -> None:
    words = ["extract", many(tmp_path / "a.parquet", 220), str(tmp_path / "s"), *SMALL]
    process = start(words)
    try:
        wait_for_commits(tmp_path / "s", process, 2)
        process.send_signal(signal.SIGINT)
        _, shown = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 130
    assert "Traceback" not in shown
    assert shown.strip().splitlines()[-1] == "interbert: stopped. The same command continues where it was."
    kept = len(RegionStore.open(tmp_path / "s"))
    assert 32 <= kept < 220
    assert main(words) == 0
    assert keys(tmp_path / "s") == [(str(row), 0) for row in range(220)]


def test_a_source_that_changed_under_the_same_ids_is_refused(tmp_path: Path, extractor: GridExtractor) -> None:
    images = [file_bytes(Image.new("L", (8, 8), row)) for row in range(6)]
    titles: list[str | None] = [f"grey {row}" for row in range(6)]
    out = tmp_path / "s"
    extract_to_store(open_source(write(tmp_path / "a.parquet", images, titles)), out, extractor, progress=False)
    before = RegionStore.open(out).fingerprint

    reversed_images = open_source(write(tmp_path / "b.parquet", images[::-1], titles))
    with pytest.raises(StoreError, match=r"b\.parquet, row 0: the store has another image under its id"):
        extract_to_store(reversed_images, out, extractor, progress=False)
    with pytest.raises(StoreError, match="another image"):  # searching never reads the texts
        extract_to_store(reversed_images, out, extractor, need_texts=False, progress=False)

    corrected = open_source(write(tmp_path / "c.parquet", images, [*titles[:4], "gray 4", titles[5]]))
    with pytest.raises(StoreError, match=r"c\.parquet, row 4: its texts are \['gray 4'\], the store has \['grey 4'\]"):
        extract_to_store(corrected, out, extractor, progress=False)
    assert extract_to_store(corrected, out, extractor, need_texts=False, progress=False).written == 0
    assert RegionStore.open(out).fingerprint == before


def test_a_source_that_grew_is_continued(tmp_path: Path, extractor: GridExtractor) -> None:
    out = tmp_path / "s"
    extract_to_store(open_source(many(tmp_path / "a.parquet", 5)), out, extractor, progress=False)
    assert extract_to_store(open_source(many(tmp_path / "b.parquet", 9)), out, extractor, progress=False).written == 4


def test_an_address_instead_of_a_file_says_what_to_do(tmp_path: Path, extractor: GridExtractor) -> None:
    table = tmp_path / "shop.csv"
    (tmp_path / "a.png").write_bytes(file_bytes(draw("red", "circle")))
    table.write_text("image,title\na.png,red\nhttps://shop.example/b.png,blue\n")
    extract_to_store(open_source(str(table)), tmp_path / "s", extractor, progress=False)
    assert "Download the images first" in skipped(tmp_path / "s")[0]["reason"]


def test_an_extraction_that_failed_before_its_first_image_does_not_claim_the_folder(
    shop: Path, tmp_path: Path, extractor: GridExtractor
) -> None:
    RegionStore.create(tmp_path / "s", GridExtractor(GridSettings(input_size=96)).info)
    assert extract_to_store(shop_source(shop), tmp_path / "s", extractor, progress=False).written == 24
    assert RegionStore.open(tmp_path / "s").info == extractor.info


def test_two_extractions_into_one_folder_do_not_write_twice(
    shop: Path, tmp_path: Path, extractor: GridExtractor
) -> None:
    words = [
        "extract",
        str(shop),
        str(tmp_path / "s"),
        "--text-columns",
        "title,title_zh",
        "--image-id-column",
        "id",
        *SMALL,
    ]
    first = Fork(SLOW, *words)
    end = time.monotonic() + 60
    while not (tmp_path / "s" / "_versions").exists() and time.monotonic() < end:
        time.sleep(0.02)
    second = Fork(COMMAND, *words)
    _, errors = second.communicate()
    assert first.wait(timeout=120) == 0
    assert second.returncode in (0, 2)  # 0: the first was done by then
    assert second.returncode == 0 or "another command is writing it" in errors
    assert len(keys(tmp_path / "s")) == len(set(keys(tmp_path / "s"))) == 24
