"""Rows without an id are refused and listed; they never become another product, or another one's image."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas
import pytest
from tests.conftest import draw, file_bytes

from interbert.cli.main import main
from interbert.extraction.columns import ColumnMapping
from interbert.extraction.extract import extract_to_store
from interbert.extraction.grid import GridExtractor, GridSettings
from interbert.extraction.sources import open_source
from interbert.regions.commits import SKIPPED
from interbert.regions.store import RegionStore
from interbert.search.build import build_index
from interbert.search.changes import add_to_index, remove_from_index
from interbert.search.index import ProductIndex
from interbert.search.products import identified

COLOURS = ("red", "green", "blue", "black", "yellow")
MAPPING = ColumnMapping("image", ("title",), None, "id")


def shop(path: Path, ids: list[Any], first: int = 0) -> Path:
    """Products with these ids, in the way that a file's kind has of saying that there is none."""
    rows = [
        {"image": f"{COLOURS[place]}.png", "title": f"{path.stem} {COLOURS[place]}", "id": one}
        for place, one in enumerate(ids, first)
    ]
    for colour in COLOURS:
        (path.parent / f"{colour}.png").write_bytes(file_bytes(draw(colour, "circle")))
    if path.suffix == ".jsonl":
        path.write_text("\n".join(map(json.dumps, rows)))
    else:
        frame = pandas.DataFrame(rows)
        frame.to_csv(path, index=False) if path.suffix == ".csv" else frame.to_parquet(path)
    return path


def facts(index: Path) -> dict[str, tuple[str, list[str]]]:
    """Digest and texts of every image of an index."""
    table = ProductIndex.open(index).table.to_arrow().select(["picture_id", "product_id", "digest", "texts"])
    return {row["picture_id"]: (row["product_id"], row["digest"], row["texts"]) for row in table.to_pylist()}


@pytest.fixture(scope="module")
def small(model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("small")
    source = open_source(str(shop(folder / "first.parquet", [1, 2, 3])), MAPPING, need_texts=False)
    build_index(model, source, folder / "index")
    return folder / "index"


@pytest.mark.parametrize("missing", [None, float("nan"), "", "  "])
@pytest.mark.parametrize("suffix", [".csv", ".jsonl", ".parquet"])
def test_a_row_without_a_product_id_replaces_no_product(
    small: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], suffix: str, missing: Any
) -> None:
    texts = isinstance(missing, str) or suffix == ".csv"
    ids = ["9", "8", missing] if texts else [9, 8, missing]
    before = facts(small)
    source = shop(tmp_path / f"more{suffix}", ids, first=2)
    try:
        assert main(["index", "add", str(small), str(source)]) == 0
        out = capsys.readouterr().out
        assert "2 added, 1 skipped" in out
        assert f"skipped row 2: {source}, row 2: has no product id: 'id' is empty. Fill it" in out
        after = facts(small)
        assert {name: after[name] for name in before} == before
        assert sorted(after) == ["1", "2", "3", "8", "9"]  # whole numbers that pandas made floats are those again
    finally:
        remove_from_index(small, ids=["8", "9"])


def test_a_row_without_an_image_id_replaces_no_image(model: Path, tmp_path: Path) -> None:
    mapping = ColumnMapping("image", ("title",), "id", None)
    first = open_source(str(shop(tmp_path / "first.parquet", ["a", "b"])), mapping, need_texts=False)
    build_index(model, first, tmp_path / "index")
    more = open_source(str(shop(tmp_path / "more.parquet", ["c", None, ""], 2)), mapping, need_texts=False)
    changes = add_to_index(tmp_path / "index", more)
    assert (changes.added, [name for name, _ in changes.skipped]) == (1, ["row 1", "row 2"])
    assert all("has no image id: 'id' is empty" in reason for _, reason in changes.skipped)
    assert sorted(facts(tmp_path / "index")) == ["a", "b", "c"]


@pytest.mark.parametrize("missing", [None, "", float("nan")])
def test_a_store_lists_rows_without_a_product_id(tmp_path: Path, missing: Any) -> None:
    path = shop(tmp_path / "shop.parquet", ["1", "2", missing] if missing == "" else [1, 2, missing])
    source = open_source(str(path), MAPPING)
    extractor = GridExtractor(GridSettings(input_size=64, scales=(1,), features=("colour",)))
    report = extract_to_store(source, tmp_path / "store", extractor, progress=False)
    assert (report.written, report.skipped) == (2, 1)
    assert [one.product_id for one in RegionStore.open(tmp_path / "store").captions()] == ["1", "2"]
    line = json.loads((tmp_path / "store" / SKIPPED).read_text())
    assert (line["row"], line["reason"]) == (2, f"{path}, row 2: has no product id: 'id' is empty. Fill it")


def test_a_search_of_a_source_lists_rows_without_an_id(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    source = shop(tmp_path / "shop.csv", ["1", "", "3"])
    for more in ([], ["--regions", str(tmp_path / "store")]):
        assert main(["search", str(model), "red", "--source", str(source), "--page", "none", *more]) == 0
        out = " ".join(capsys.readouterr().out.split())
        assert "best 2 of 2" in out
        assert "1 images could not be used, such as 1: " in out
        assert "has no product id: 'id' is empty" in out


def test_a_column_without_any_id_is_no_column_of_ids_unless_it_is_named(tmp_path: Path) -> None:
    path = str(shop(tmp_path / "shop.csv", ["", "", ""]))
    source = open_source(path, ColumnMapping("image", ("title",)))
    assert source.columns.product_id is None
    assert [item.problem for item in source] == [None] * 3
    assert all("has no product id" in (item.problem or "") for item in open_source(path, MAPPING))


def test_what_is_kept_is_told_by_ids_alone(small: Path, tmp_path: Path) -> None:
    keep = open_source(str(shop(tmp_path / "keep.csv", ["1", "2", "3", ""])), MAPPING, need_texts=False)
    changes = remove_from_index(small, keep=keep)
    assert (changes.removed, changes.skipped) == (0, [("row 3", "has no id: it keeps nothing")])


def test_made_ids_are_those_of_no_other_product_and_a_file_without_a_name_has_none(tmp_path: Path) -> None:
    source = open_source(str(shop(tmp_path / "a.csv", ["a", "a#2", "a", "", "a"])), MAPPING)
    assert identified(source, lasting=True).image_ids() == ["a", "a#2", "a#3", "", "a#4"]
    (tmp_path / "b.csv").write_text("image,title\nred.png,x\n,y\nblue.png,z\n")
    named = identified(open_source(str(tmp_path / "b.csv")), lasting=True)
    assert named.image_ids() == ["red.png", "", "blue.png"]
    assert [item.problem for item in named] == [None, "the image is empty", None]
