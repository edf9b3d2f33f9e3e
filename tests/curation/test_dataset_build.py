"""The whole build on small crawls: what is kept, what is listed, and that a kill or a full disk loses nothing."""

from __future__ import annotations

import hashlib
import io
import json
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image
from tests.conftest import AT_LENGTH, file_bytes
from tests.forked import Fork
from tests.killing import kill_at

from interbert.cli.main import main
from interbert.curation.agreement import AgreementOptions
from interbert.curation.build import build_dataset
from interbert.curation.card import CardOptions
from interbert.curation.encoding import PairVectors
from interbert.curation.recipe import DatasetRecipe
from interbert.curation.splits import SplitOptions
from interbert.data.pairs import PairTable
from interbert.errors import ColumnError, SourceError, UsageError
from interbert.extraction.sources import open_source
from interbert.regions.store import RegionStore

KINDS = ("连衣裙", "牛仔裤", "保温杯", "双肩包", "运动鞋", "蓝牙耳机", "机械键盘", "不锈钢锅")
COLOURS = ("红色", "黑色", "白色", "蓝色")


def titles(count: int) -> list[str]:
    """Titles none of which is near another."""
    signs = "甲乙丙丁戊己庚辛壬癸子丑寅卯辰巳午未申酉戌亥天地玄黄宇宙洪荒"
    draw = np.random.default_rng(5)
    return [f"{KINDS[n % len(KINDS)]}{COLOURS[n % 4]}{''.join(draw.choice(list(signs), 9))}" for n in range(count)]


def photo(seed: int) -> bytes:
    """An image that is near no other."""
    draw = np.random.default_rng(seed)
    coarse = Image.fromarray(draw.integers(0, 256, (8, 8, 3), dtype=np.uint8))
    return file_bytes(coarse.resize((96, 96), Image.Resampling.BICUBIC), "JPEG")


def crawl(path: Path, rows: list[dict[str, Any]]) -> Path:
    pq.write_table(pa.Table.from_pylist(rows), path)
    return path


def products(count: int, first: int = 0) -> list[dict[str, Any]]:
    named = titles(first + count)[first:]
    return [
        {
            "item": first + n,
            "title": title,
            "image": photo(first + n),
            "category": KINDS[n % len(KINDS)],
            "price": 1.5 * n,
        }
        for n, title in enumerate(named)
    ]


def recipe(source: Path, out: Path, **more: Any) -> DatasetRecipe:
    return DatasetRecipe(str(source), str(out), **({"workers": 1, "id_column": "item"} | more))


def rows_of(out: Path) -> list[dict[str, Any]]:
    return [row for file in sorted(out.glob("*-0*.parquet")) for row in pq.read_table(file).to_pylist()]


def dropped(out: Path) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = pq.read_table(out / "dropped.parquet").to_pylist()
    return found


def contents(out: Path) -> dict[str, str]:
    files = sorted(file for file in out.rglob("*") if file.is_file())
    return {str(file.relative_to(out)): hashlib.sha256(file.read_bytes()).hexdigest() for file in files}


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A crawl with one of each fault, and what was built of it by two processes."""
    folder = tmp_path_factory.mktemp("planted")
    rows = products(24)
    rows.append(rows[0] | {"item": 100})  # the same pair
    rows.append(rows[1] | {"item": 101, "image": photo(77)})  # the same title
    rows.append(rows[2] | {"item": 102, "title": titles(40)[39]})  # the same image
    rows.append(rows[3] | {"item": 103, "title": rows[3]["title"] + "新", "image": photo(78)})  # nearly the same title
    rows.append(rows[4] | {"item": 104, "title": "  "})
    rows.append(rows[5] | {"item": 105, "title": titles(41)[40], "image": None})
    rows.append(rows[6] | {"item": 106, "title": "LEVIS 501 ORIGINAL", "image": photo(79)})
    source = crawl(folder / "crawl.parquet", rows)
    build_dataset(recipe(source, folder / "out", workers=2))
    return source, folder / "out"


def test_every_row_is_kept_or_listed_with_its_reason(planted: tuple[Path, Path]) -> None:
    _, out = planted
    kept, left = rows_of(out), dropped(out)
    report = json.loads((out / "report.json").read_text())
    assert (report["rows"], report["kept"], report["dropped"]) == (31, len(kept), len(left)) == (31, 27, 4)
    assert sorted([int(row["id"]) for row in (*kept, *left)]) == [*range(24), *range(100, 107)]
    assert [(row["row"], row["id"], row["rule"]) for row in left] == [
        (24, "100", "duplicate_pair"),
        (28, "104", "title_missing"),
        (29, "105", "image_missing"),
        (30, "106", "wrong_language"),
    ]
    assert left[0]["where"] == "crawl.parquet, row 24"
    assert left[0]["detail"] == "as row 0"
    assert report["rules"]["wrong_language"]["dropped"] == 1
    assert report["rules"]["title_too_long"] == {"dropped": 0, "flagged": 0, "stripped": 0}
    assert report["splits"] == {name: sum(1 for _ in rows) for name, rows in _by_split(out).items()}


def _by_split(out: Path) -> dict[str, list[dict[str, Any]]]:
    splits = ("train", "validation", "test")
    return {name: [row for file in out.glob(f"{name}-*") for row in pq.read_table(file).to_pylist()] for name in splits}


def test_what_is_nearly_the_same_is_one_group_in_one_split(planted: tuple[Path, Path]) -> None:
    _, out = planted
    group = {int(row["id"]): row["group"] for row in rows_of(out)}
    assert (group[101], group[102], group[103]) == (group[1], group[2], group[3]) == (1, 2, 3)
    assert json.loads((out / "report.json").read_text())["groups"] == len(set(group.values())) == 24
    split = {row["group"]: name for name, rows in _by_split(out).items() for row in rows}
    assert all(split[row["group"]] == name for name, rows in _by_split(out).items() for row in rows)


def test_columns_and_order_are_the_sources(planted: tuple[Path, Path]) -> None:
    source, out = planted
    before = {str(row["item"]): row for row in pq.read_table(source).to_pylist()}
    for rows in _by_split(out).values():
        places = [list(before).index(row["id"]) for row in rows]
        assert places == sorted(places)
        for row in rows:
            assert row["image"]["bytes"] == before[row["id"]]["image"]
            assert (row["price"], row["category"]) == (before[row["id"]]["price"], before[row["id"]]["category"])


def test_datasets_reads_it_as_it_is(planted: tuple[Path, Path]) -> None:
    _, out = planted
    loaded = datasets.load_dataset(str(out), split="train")
    assert loaded[0]["image"].size == (96, 96)
    assert loaded[0]["title"] == loaded[0]["title_raw"]


def test_one_process_and_another_folder_give_the_same_bytes(planted: tuple[Path, Path], tmp_path: Path) -> None:
    source, out = planted
    moved = tmp_path / source.name
    moved.write_bytes(source.read_bytes())
    again = tmp_path / "elsewhere" / out.name  # the folder's name is the data set's
    build_dataset(recipe(moved, again))
    assert contents(again) == contents(out)


def test_extraction_takes_groups_for_products_whose_texts_are_no_negatives(
    planted: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _, out = planted
    small = ["--input-size", "64", "--scales", "1", "--features", "colour"]
    assert main(["extract", str(out / "*-0*.parquet"), str(tmp_path / "regions"), *small]) == 0
    assert "products in 'group'" in capsys.readouterr().out
    store = RegionStore.open(tmp_path / "regions")
    pairs = PairTable.from_captions(store.captions())
    place = {pairs.texts[pair]: pair for pair in range(len(pairs))}
    first, near, other = (place[title] for title in (titles(24)[3], f"{titles(24)[3]}新", titles(24)[5]))
    assert pairs.is_relevant(first, near)
    assert not pairs.is_relevant(first, other)


def test_a_finished_folder_says_so_and_a_changed_recipe_or_source_is_refused(
    planted: tuple[Path, Path], tmp_path: Path
) -> None:
    source, out = planted
    before = contents(out)
    assert build_dataset(recipe(source, out)).already
    named = build_dataset(recipe(source, out, card=CardOptions(license="cc-by-4.0")))
    assert named.already
    assert "license: cc-by-4.0" in (out / "README.md").read_text()
    build_dataset(recipe(source, out, card=CardOptions(name=out.name)))
    assert contents(out) == before
    with pytest.raises(UsageError, match=r"another recipe\.splits\.seed\. Give the same"):
        build_dataset(recipe(source, out, splits=SplitOptions(seed=4)))
    changed = crawl(tmp_path / source.name, pq.read_table(source).to_pylist()[:-1])
    with pytest.raises(UsageError, match="another source"):
        build_dataset(recipe(changed, out))
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "notes.txt").touch()
    with pytest.raises(UsageError, match="holds files"):
        build_dataset(recipe(source, tmp_path / "own"))
    assert contents(out) == before


def many(folder: Path) -> Path:
    """A crawl of several files, so that a build has several chunks and shards."""
    folder.mkdir()
    for number in range(3):
        crawl(folder / f"part-{number}.parquet", products(8, first=8 * number))
    return folder


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("whole")
    source = many(folder / "crawl")
    assert main(["dataset", "build", str(source), str(folder / "out"), *OPTIONS]) == 0
    return source, folder / "out"


OPTIONS = ["--workers", "1", "--id-column", "item", "--shard-rows", "10"]


@pytest.mark.parametrize("number", [4, 12])  # of the chunks and of the shards
def test_a_killed_build_goes_on_and_judges_nothing_again(number: int, whole: tuple[Path, Path], tmp_path: Path) -> None:
    source, out = whole
    kill_at(number, "files", "dataset", "build", source, tmp_path / "out", *OPTIONS)
    chunks = tmp_path / "out" / ".build" / "chunks"
    before = {file.name: file.stat().st_mtime_ns for file in chunks.glob("*.parquet")}
    assert len(before) == max(0, min(3, number - 3))
    kept = {file: file.stat().st_mtime_ns for file in (tmp_path / "out").glob("*-0*.parquet")}
    assert main(["dataset", "build", str(source), str(tmp_path / "out"), *OPTIONS]) == 0
    assert all(file.stat().st_mtime_ns == written for file, written in kept.items())
    assert contents(tmp_path / "out") == contents(out)


FULL = """
import resource, sys
from interbert.cli.main import main
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[1]),) * 2)
sys.exit(main(sys.argv[2:]))
"""


def test_a_full_disk_is_one_line_and_what_was_finished_stays(whole: tuple[Path, Path], tmp_path: Path) -> None:
    source, out = whole
    run = Fork(FULL, 12_000, "dataset", "build", source, tmp_path / "out", *OPTIONS)
    _, errors = run.communicate()
    assert run.returncode == 1
    message = errors.strip().splitlines()[-1]
    assert message.startswith(f"interbert: {tmp_path / 'out' / 'train-00000.parquet'}: the disk is full.")
    assert len(list((tmp_path / "out" / ".build" / "chunks").iterdir())) == 3
    assert not list((tmp_path / "out").glob(".*.part"))
    assert main(["dataset", "build", str(source), str(tmp_path / "out"), *OPTIONS]) == 0
    assert contents(tmp_path / "out") == contents(out)


@AT_LENGTH
def test_ray_gives_the_same_bytes(planted: tuple[Path, Path], tmp_path: Path) -> None:
    source, out = planted
    build_dataset(recipe(source, tmp_path / out.name, ray=True))
    assert contents(tmp_path / out.name) == contents(out)


def test_shards_that_are_cut_off_and_columns_that_differ_cost_their_rows_alone(tmp_path: Path) -> None:
    named = titles(12)
    crawl(tmp_path / "a.parquet", [{"item": n, "title": title, "size": 1} for n, title in enumerate(named[:4])])
    crawl(
        tmp_path / "b.parquet", [{"item": f"{n}", "title": title, "size": "XL"} for n, title in enumerate(named[4:8])]
    )
    cut = crawl(tmp_path / "c.parquet", [{"item": n, "title": title} for n, title in enumerate(named[8:])])
    cut.write_bytes(cut.read_bytes()[:-40])
    report = build_dataset(recipe(tmp_path, tmp_path / "out" / "x")).counts
    assert (report["rows"], report["kept"], report["shards_unreadable"]) == (9, 8, ["c.parquet"])
    (only,) = dropped(tmp_path / "out" / "x")
    assert (only["rule"], only["where"]) == ("shard_unreadable", "c.parquet, row 0")
    assert "Is the file complete?" in only["detail"]
    found = rows_of(tmp_path / "out" / "x")
    assert sorted(row["size"] for row in found) == ["1"] * 4 + ["XL"] * 4
    by_id = {(row["id"], row["group"]) for row in found}  # 0 and "0" are one product
    assert sorted(by_id) == [("0", 0), ("1", 1), ("2", 2), ("3", 3)]


def test_images_that_are_missing_are_left_out_or_kept_without(tmp_path: Path) -> None:
    rows = products(6)
    rows[1]["image"], rows[3]["image"] = None, b"no image"
    source = crawl(tmp_path / "crawl.parquet", rows)
    build_dataset(recipe(source, tmp_path / "required"))
    assert [row["row"] for row in dropped(tmp_path / "required")] == [1, 3]
    build_dataset(recipe(source, tmp_path / "optional", images="optional"))
    assert [row["row"] for row in dropped(tmp_path / "optional")] == [3]
    without = {row["id"]: row for row in rows_of(tmp_path / "optional")}["1"]
    assert (without["image"], without["flags"]) == (None, ["image_missing"])
    build_dataset(recipe(source, tmp_path / "none", images="none"))
    assert dropped(tmp_path / "none") == []
    assert "image" not in rows_of(tmp_path / "none")[0]


def test_addresses_are_counted_and_paths_are_read(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(photo(1))
    named = titles(3)
    images = ["a.jpg", "https://shop.example/b.jpg", "../c.jpg"]
    lines = [f"{n},{title},{image}" for n, (title, image) in enumerate(zip(named, images, strict=True))]
    (tmp_path / "crawl.csv").write_text("\n".join(["item,title,image", *lines]), encoding="utf-8")
    build_dataset(recipe(tmp_path / "crawl.csv", tmp_path / "out"))
    assert [row["rule"] for row in dropped(tmp_path / "out")] == ["image_not_downloaded", "image_missing"]
    (only,) = rows_of(tmp_path / "out")
    assert only["image"] == {"bytes": photo(1), "path": "a.jpg"}


def test_titles_of_the_recipes_language_are_taken_and_names_do_not_meet(tmp_path: Path) -> None:
    rows = [
        {"productDisplayName": f"shirt {n}", "title": f"shirt {n}", "title_zh": title, "flags": "new"}
        for n, title in enumerate(titles(3))
    ]
    build_dataset(DatasetRecipe(str(crawl(tmp_path / "c.parquet", rows)), str(tmp_path / "out"), workers=1))
    first = rows_of(tmp_path / "out")[0]
    assert (first["title"], first["source_title"], first["source_flags"], first["flags"]) == (
        titles(1)[0],
        "shirt 0",
        "new",
        [],
    )
    with pytest.raises(ColumnError, match="Did you mean 'title_zh'"):
        build_dataset(recipe(tmp_path / "c.parquet", tmp_path / "no", title_column="titel_zh", id_column=None))


def test_rows_of_evaluation_sets_are_left_out_by_title_and_image(tmp_path: Path) -> None:
    rows = products(8)
    near = Image.open(io.BytesIO(rows[3]["image"])).resize((90, 90))
    held = [
        {"image": photo(500), "title": rows[1]["title"]},
        {"image": rows[2]["image"], "title": titles(60)[57]},
        {"image": file_bytes(near, "JPEG"), "title": titles(60)[58]},
        {"image": photo(501), "title": rows[4]["title"][:-1]},
    ]
    crawl(tmp_path / "test.parquet", held)
    source = crawl(tmp_path / "crawl.parquet", rows)
    build_dataset(recipe(source, tmp_path / "out", exclude=[str(tmp_path / "test.parquet")]))
    assert [(row["row"], row["rule"], row["detail"].split(" of ")[0]) for row in dropped(tmp_path / "out")] == [
        (1, "leak_title", "title"),
        (2, "leak_image", "image"),
        (3, "leak_image", "near image"),
        (4, "leak_title", "near title"),
    ]


def test_pairs_that_a_model_finds_unlike_are_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = products(8)
    rows[1]["image"] = None

    def encoded(pairs: Any, model: str, folder: Path) -> PairVectors:
        assert [pairs[place] for place in range(len(pairs))] == [(row["image"], row["title"]) for row in kept]
        images = np.eye(7, dtype=np.float32)
        return PairVectors(images[[0, 1, 4, 3, 2, 5, 6]], images, {})  # the titles of two rows are exchanged

    kept = [row for row in rows if row["image"]]
    monkeypatch.setattr("interbert.curation.encoding.encode_pairs", encoded)
    source = crawl(tmp_path / "crawl.parquet", rows)
    options = {"model": "a model", "agreement": AgreementOptions(block_size=7, rank=1), "images": "optional"}
    build_dataset(recipe(source, tmp_path / "out", **options))
    left = [(row["row"], row["rule"]) for row in dropped(tmp_path / "out")]
    assert left == [(3, "image_and_title_disagree"), (5, "image_and_title_disagree")]


def test_a_placeholder_in_several_sizes_is_left_out(tmp_path: Path) -> None:
    rows = products(9)
    blank = Image.open(io.BytesIO(photo(900)))
    for n in range(6):
        rows[n]["image"] = file_bytes(blank.resize((96 - 2 * (n % 2),) * 2), "JPEG")
    build_dataset(recipe(crawl(tmp_path / "crawl.parquet", rows), tmp_path / "out"))
    assert [(row["row"], row["rule"]) for row in dropped(tmp_path / "out")] == [
        (n, "image_placeholder") for n in range(6)
    ]


def test_near_duplicates_can_be_dropped_and_nothing_kept_is_an_error(tmp_path: Path) -> None:
    title = titles(1)[0]
    rows = [{"title": title}, {"title": f"{title}新"}, {"title": "ab"}]
    source = crawl(tmp_path / "c.parquet", rows)
    options = {"workers": 1, "drop_near_duplicates": True}
    build_dataset(DatasetRecipe(str(source), str(tmp_path / "out"), **options))
    assert [(row["row"], row["rule"], row["detail"]) for row in dropped(tmp_path / "out")] == [
        (1, "near_duplicate", "as row 0"),
        (2, "title_too_short", "2 characters"),
    ]
    bad = crawl(tmp_path / "bad.parquet", rows[2:])
    with pytest.raises(SourceError, match=r"no row is kept; the reasons are in .*dropped\.parquet"):
        build_dataset(DatasetRecipe(str(bad), str(tmp_path / "none"), **options))


def test_tar_shards_are_read_back_with_their_groups(planted: tuple[Path, Path], tmp_path: Path) -> None:
    source, out = planted
    for name in ("one", "two"):
        build_dataset(recipe(source, tmp_path / name / "tars", format="webdataset"))
    assert contents(tmp_path / "one") == contents(tmp_path / "two")
    read = open_source(str(tmp_path / "one" / "tars" / "train-00000.tar"))
    want = pq.read_table(out / "train-00000.parquet").to_pylist()
    assert [(item.texts, item.data) for item in read] == [((row["title"],), row["image"]["bytes"]) for row in want]
    assert list(read.other_columns(["group"])["group"].to_pylist()) == [row["group"] for row in want]
