"""Several images in one cell, in every form that tables have them."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from interbert.extraction.columns import ColumnMapping
from interbert.extraction.extract import extract_to_store
from interbert.extraction.grid import GridExtractor, GridSettings
from interbert.extraction.several_images import images_of_cell
from interbert.extraction.sources import ImageSource, open_source
from interbert.regions.commits import read_skipped
from interbert.regions.store import RegionStore
from interbert.search.products import identified

NAMES = ("red.png", "green.png", "blue.png")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, colour in zip(NAMES, ("red", "green", "blue"), strict=True):
        Image.new("RGB", (8, 8), colour).save(tmp_path / name)
    return tmp_path


def found(source: ImageSource) -> list[tuple[str, str, str]]:
    """Of each row: product, text, name of the file or problem."""
    items = list(source)
    return [(one.product_id, one.texts[0], getattr(one.data, "name", one.problem) or "") for one in items]


EXPECTED = [("p1", "shirt", "red.png"), ("p1", "shirt", "green.png"), ("p2", "hat", "blue.png")]


@pytest.mark.parametrize(
    "cell", ["red.png;green.png", "red.png | green.png", "red.png,green.png", '["red.png","green.png"]']
)
def test_a_csv_has_them_in_one_text(folder: Path, cell: str) -> None:
    quoted = cell.replace('"', '""')
    (folder / "shop.csv").write_text(f'id,title,image\np1,shirt,"{quoted}"\np2,hat,blue.png\n')
    assert found(open_source(str(folder / "shop.csv"))) == EXPECTED


def test_json_and_parquet_have_lists(folder: Path) -> None:
    rows = [
        {"id": "p1", "title": "shirt", "images": ["red.png", "green.png"]},
        {"id": "p2", "title": "hat", "images": ["blue.png"]},
    ]
    (folder / "shop.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    assert found(open_source(str(folder / "shop.jsonl"))) == EXPECTED
    pq.write_table(pa.Table.from_pylist(rows), folder / "shop.parquet")
    assert found(open_source(str(folder / "shop.parquet"))) == EXPECTED


def test_parquet_has_lists_of_files(folder: Path) -> None:
    red, green = ((folder / name).read_bytes() for name in NAMES[:2])
    lists = [[{"bytes": red, "path": None}, {"bytes": green, "path": None}], [], None]
    table = pa.table({"title": ["shirt", "hat", "coat"], "image": lists})
    pq.write_table(table, folder / "shop.parquet")
    source = open_source(str(folder / "shop.parquet"))
    assert [one.data for one in source] == [red, green, None, None]
    assert [one.problem for one in source][2:] == ["the image is empty"] * 2
    assert [one.image_id for one in source] == ["0", "0#2", "1", "2"]
    assert [one.product_id for one in source] == ["0", "0", "1", "2"]
    assert source[1].where == f"{folder}/shop.parquet, row 0, image 2"


def test_ids_columns_and_selections_follow_the_images(folder: Path) -> None:
    (folder / "shop.csv").write_text("name,image,price\nshirt,red.png;green.png,5\nhat,blue.png,7\n")
    source = identified(open_source(str(folder / "shop.csv"), ColumnMapping(texts=("name",))), lasting=True)
    assert source.image_ids() == list(NAMES)
    assert [one.product_id for one in source] == ["red.png", "red.png", "blue.png"]
    assert source.other_columns(["price"])["price"].to_pylist() == ["5", "5", "7"]
    part = source.select([1, 2])
    assert [(one.image_id, one.product_id) for one in part] == [("green.png", "red.png"), ("blue.png", "blue.png")]
    assert list(part.products_and_texts()) == [("red.png", ("shirt",)), ("blue.png", ("hat",))]
    assert part.other_columns(["price"])["price"].to_pylist() == ["5", "7"]


def test_a_column_of_image_ids_names_the_first(folder: Path) -> None:
    (folder / "shop.csv").write_text("code,title,image\nA,shirt,red.png;green.png\nB,hat,blue.png\n")
    source = open_source(str(folder / "shop.csv"), ColumnMapping(image_id="code"))
    assert source.image_ids() == ["A", "A#2", "B"]


def test_a_file_may_have_a_separator_in_its_name(folder: Path) -> None:
    (folder / "red.png").rename(folder / "a.png;b.png")
    (folder / "shop.csv").write_text("title,image\nshirt,a.png;b.png\nhat,blue.png\n")
    assert [one.problem for one in open_source(str(folder / "shop.csv"))] == [None, None]


def test_what_cannot_be_used_says_why(folder: Path) -> None:
    many = ";".join(["red.png"] * 101)
    (folder / "shop.csv").write_text(f"id,title,image\np1,shirt,{many}\np2,hat,blue.png;gone.png\n")
    too_many, blue, gone = open_source(str(folder / "shop.csv"))
    assert too_many.problem == "has 101 images in one cell; at most 100 are read. Leave some out"
    assert blue.problem is None
    assert gone.problem == "gone.png: there is no such file"
    mapping = ColumnMapping(texts=("title",), boxes="id")
    assert "boxes that do not say whose" in str(open_source(str(folder / "shop.csv"), mapping)[1].problem)


def test_texts_are_no_lists_of_images() -> None:
    for text in ("a shirt, a hat", "[red]", "red.png", "see a.png; or ask", "[1", "x.pdf;y.pdf", b"ab;c.png", None):
        assert images_of_cell(text) is None
    assert images_of_cell("a.JPG;b.heic;") == ["a.JPG", "b.heic"]


def test_rows_know_their_file_and_line(folder: Path) -> None:
    (folder / "shop.csv").write_text('id,title,image\np1,"a\nshirt",red.png;gone.png\n\np2,hat,none.png\n')
    source = open_source(str(folder / "shop.csv"))
    assert [source.place_of(row) for row in range(3)] == [{"file": "shop.csv", "line": line} for line in (2, 2, 5)]
    for number, name in ((1, "a"), (2, "b")):
        row = {"id": f"p{number}", "title": "x", "image": f"{name}.png"}
        (folder / f"{name}.jsonl").write_text(f"\n{json.dumps(row)}\n")
    source = open_source(str(folder / "[ab].jsonl"))
    assert [source.place_of(row) for row in (0, 1)] == [{"file": "a.jsonl", "line": 2}, {"file": "b.jsonl", "line": 2}]
    pq.write_table(pa.table({"title": ["x"], "image": ["gone.png"]}), folder / "p.parquet")
    assert open_source(str(folder / "p.parquet")).place_of(0) == {"file": "p.parquet"}


def test_the_list_of_a_store_has_file_id_and_line(folder: Path) -> None:
    (folder / "shop.csv").write_text("id,title,image\np1,shirt,red.png;gone.png\np2,hat,blue.png\n")
    source = open_source(str(folder / "shop.csv"))
    extractor = GridExtractor(GridSettings(input_size=64, scales=(1,), features=("colour",)))
    assert extract_to_store(source, folder / "store", extractor).written == 2
    (line,) = map(json.loads, (folder / "store" / "skipped.jsonl").read_text().splitlines())
    assert (line["file"], line["line"], line["id"], line["row"]) == ("shop.csv", 2, "0#2", 1)
    assert line["reason"].endswith("shop.csv, row 0, image 2: gone.png: there is no such file")
    assert read_skipped(folder / "store") == [("0#2", line["reason"])]


def test_images_of_one_cell_are_one_product_of_a_store(folder: Path) -> None:
    (folder / "shop.csv").write_text("title,image\nshirt,red.png;green.png\nhat,blue.png\n")
    extractor = GridExtractor(GridSettings(input_size=64, scales=(1,), features=("colour",)))
    extract_to_store(open_source(str(folder / "shop.csv")), folder / "store", extractor)
    stored = [(one.image_id, one.product_id) for one in RegionStore.open(folder / "store").captions()]
    assert stored == [("0", "0"), ("0#2", "0"), ("1", "1")]
