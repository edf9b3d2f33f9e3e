"""What filters find: of each kind of column, in the table of the database, with the answers that a person expects."""

from __future__ import annotations

import datetime
import json
from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tests.search.conftest import priced_rows, source_of, write_table
from tests.search.test_index_verbs import run

from interbert.errors import SourceError
from interbert.extraction.columns import ColumnMapping
from interbert.extraction.sources import open_source
from interbert.search.build import build_index
from interbert.search.changes import add_to_index, remove_from_index, update_columns
from interbert.search.index import ProductIndex
from interbert.search.suggestions import filter_notes
from interbert.search.writer import IndexWriter

MOMENTS = [
    datetime.datetime(2026, 1, 4, 23, 59, 59),
    datetime.datetime(2026, 1, 5),
    datetime.datetime(2026, 1, 5, 13),
    datetime.datetime(2026, 1, 6),
    None,
    datetime.datetime(2027, 1, 1),
]
ZONE = datetime.timedelta(hours=8)


@pytest.fixture(scope="module")
def values(model: Path, tmp_path_factory: pytest.TempPathFactory) -> ProductIndex:
    """An index of six products 000 to 005 with a column of every kind."""
    folder = tmp_path_factory.mktemp("values")
    shifted = [None if one is None else one - ZONE for one in MOMENTS]
    table = pa.table(
        {
            "id": [f"{place:03d}" for place in range(6)],
            "image": [row["image"] for row in priced_rows()[:6]],
            "title": ["lemon"] * 6,
            "title_zh": ["柠檬"] * 6,
            "price": pa.array([19.99, 9.99, 29.99, 0.1, float("nan"), 5], pa.float32()),
            "whole": pa.array([10, 50, 90, 1, None, 7]),
            "exact": [Decimal(text) for text in ("19.99", "9.99", "29.99", "0.10", "1.00", "2.00")],
            "day": pa.array([None if one is None else one.date() for one in MOMENTS], pa.date32()),
            "moment": pa.array(MOMENTS, pa.timestamp("ns")),
            "zoned": pa.array(shifted, pa.timestamp("us", "Asia/Shanghai")),
            "texts": ["" if one is None else one.isoformat() + "Z" for one in MOMENTS],
            "tags": pa.array([["Summer", "red hat"], ["x"], [], None, ["summer"], ["Sum"]]),
            "dollars": ["$1,019.99", "$9.99", "$50", None, "$3", "$4"],
            "kind": ["Milk", "Milk", "Bread", None, "Ｆｉｓｈ ", "Milk"],
        }
    )
    pq.write_table(table, folder / "shop.parquet")
    build_index(model, source_of(folder / "shop.parquet"), folder / "index")
    return ProductIndex.open(folder / "index")


@pytest.mark.parametrize(
    ("where", "found"),
    [
        ("price >= 19.99", "02"),
        ("price = 19.99", "0"),
        ("price > 1e9", ""),
        ("whole < 49.99", "035"),
        ("whole > 89.5", "2"),
        ("whole = 1.5", ""),
        ("not whole = 1.5", "01235"),
        ("whole != 1.5", "01235"),
        ("whole in (1, 7.5, 10)", "03"),
        ("whole in (1.0, 10)", "03"),
        ("whole not in (1e1, 7)", "123"),
        ("price in (5.0, 999e-2)", "15"),
        ("whole in (5e1)", "1"),
        ("whole between 6.5 and 50.2", "015"),
        ("whole < 1e30 and whole > -1e30", "01235"),
        ("exact <= 19.99", "01345"),
        ("exact = 19.99", "0"),
        ("dollars < 51", "1245"),
        ("tags contains 'summer'", "04"),
        ("tags contains 'sum'", "5"),
        ("not tags contains 'summer'", "15"),
        ("tags not contains 'summer'", "15"),
        ("(tags not contains 'summer') or tags is null", "1235"),
        ("tags is null", "23"),
        ("tags is not null", "0145"),
        ("moment = '2026-01-05 13:00'", "2"),
        ("zoned = '2026-01-05T13:00:00'", "2"),
        ("texts < '2026-01-05 00:00'", "0"),
        ("moment = '2026-01'", "0123"),
    ],
)
def test_a_filter_finds_what_it_says_and_removes_and_counts_the_same(
    values: ProductIndex, where: str, found: str
) -> None:
    wanted = [f"00{place}" for place in found]
    assert values.ids(where) == wanted
    assert values.table.count_rows(values.condition(where)) == len(wanted)
    assert {hit.id for hit in values.full_text_search("lemon", 6, where)} == set(wanted)


@pytest.mark.parametrize("column", ["day", "moment", "zoned", "texts"])
@pytest.mark.parametrize(
    ("condition", "found"),
    [
        ("= '2026-01-05'", "12"),
        ("!= '2026-01-05'", "035"),
        ("< '2026-01-05'", "0"),
        ("<= '2026-01-05'", "012"),
        ("> '2026-01-05'", "35"),
        (">= '2026-01-05'", "1235"),
        ("in ('2026-01-04', '2027-01-01')", "05"),
        ("not in ('2026-01-05')", "035"),
        ("between '2026-01-05' and '2026-01-06'", "123"),
        ("is null", "4"),
    ],
)
def test_dates_of_every_form_compare_with_a_day(values: ProductIndex, column: str, condition: str, found: str) -> None:
    assert values.ids(f"{column} {condition}") == [f"00{place}" for place in found]


def test_dates_that_earlier_versions_kept_as_texts_are_found(index_path: Path) -> None:
    index = ProductIndex.open(index_path)
    old = {"red-circle": "2026-01-05 00:00:00.000000", "blue-circle": "2026-01-06", "green-circle": "soon"}
    table = pa.table({"picture_id": list(old), "m_colour": list(old.values())})
    index.table.merge_insert("picture_id").when_matched_update_all().execute(table)
    assert index.ids("colour = '2026-01-05'") == ["red-circle"]
    assert index.ids("colour <= '2026-01-05'") == ["red-circle"]
    assert index.ids("colour > '2026-01-05'") == ["blue-circle"]


@pytest.mark.parametrize(
    ("condition", "found"),
    [
        ("= '2026-01-05T13:00:00'", ["blue", "green", "red"]),
        ("= '2026-01-05 13:00'", ["blue", "green", "red"]),
        ("!= '2026-01-05T13:00:00'", ["black", "yellow"]),
        ("in ('2026-01-05T13:00:00', 'soon')", ["black", "blue", "green", "red"]),
        ("not in ('2026-01-05T13:00')", ["black", "yellow"]),
        ("= '2026-01-05T13:00:00Z'", ["blue"]),
        ("= '2026-01-05'", ["blue", "green", "red"]),
        ("= ' 2026-01-06'", ["yellow"]),
        ("!= ' 2026-01-06'", ["black", "blue", "green", "red"]),
        ("in (' 2026-01-06', 'soon')", ["black", "yellow"]),
    ],
)
def test_moments_in_columns_of_texts_equal_themselves_however_they_are_written(
    index_path: Path, condition: str, found: list[str]
) -> None:
    index = ProductIndex.open(index_path)
    moments = {"red": "2026-01-05T13:00:00", "blue": "2026-01-05T13:00:00Z", "green": "2026-01-05 13:00:00.000000"}
    texts = {f"{name}-circle": text for name, text in (moments | {"black": "soon", "yellow": " 2026-01-06"}).items()}
    index.table.delete(f"picture_id NOT IN ({', '.join(map(repr, texts))})")
    table = pa.table({"picture_id": list(texts), "m_colour": list(texts.values())})
    index.table.merge_insert("picture_id").when_matched_update_all().execute(table)
    assert index.ids(f"colour {condition}") == [f"{name}-circle" for name in found]


def test_values_are_shown_as_they_were_written(values: ProductIndex) -> None:
    shown = values.hits(["000"])[0].metadata
    assert (shown["price"], shown["dollars"], shown["texts"]) == (19.99, 1019.99, "2026-01-04T23:59:59Z")
    assert (shown["tags"], shown["moment"]) == (["Summer", "red hat"], "2026-01-04 23:59:59")


def test_near_values_and_rows_without_one_are_named(values: ProductIndex) -> None:
    assert filter_notes(values, "kind = 'milk'") == ["no image has kind 'milk'. Did you mean 'Milk'?"]
    assert filter_notes(values, "kind in ('fish', 'Milk')") == ["no image has kind 'fish'. Did you mean 'Ｆｉｓｈ '?"]
    assert filter_notes(values, "tags contains 'sumer'") == ["no image has tags 'sumer'. Did you mean 'summer'?"]
    assert filter_notes(values, "kind = 'Milk'") == []
    (note,) = filter_notes(values, "kind != 'Milk'")
    assert note.startswith("images without kind: 1, which != and not leave out.")
    assert note.endswith("(kind != 'Milk') or kind is null")
    (note,) = filter_notes(values, "tags not contains 'summer'")
    assert note.startswith("images without tags: 2, which")
    assert values.ids("(kind != 'Milk') or kind is null") == ["002", "003", "004"]
    assert filter_notes(values, "kind != 'Milk' or kind is null") == []


def test_whole_numbers_widen_under_an_open_reader(index_path: Path, tmp_path: Path) -> None:
    reader = ProductIndex.open(index_path)
    assert reader.ids("stock < 0.5 and colour = 'red'") == ["red-circle", "red-square", "red-triangle"]
    (tmp_path / "stock.csv").write_text("id,stock\nred-circle,8.5\n")
    assert update_columns(index_path, str(tmp_path / "stock.csv"), "id").updated == 1
    assert reader.ids("stock > 8.2 and stock < 8.7") == ["red-circle"]
    assert {column.name: column.kind for column in reader.metadata_columns}["stock"] == "number"
    assert reader.table.schema.names.count("m_stock") == 1
    assert not [name for name in reader.table.schema.names if "__" in name]
    rows = [priced_rows()[0] | {"id": "new", "stock": 2.5}]
    assert add_to_index(index_path, source_of(write_table(tmp_path / "new.parquet", rows))).added == 1
    assert reader.ids("stock = 2.5") == ["new"]


def test_a_widening_that_was_stopped_leaves_nothing_behind(index_path: Path) -> None:
    index = ProductIndex.open(index_path)
    index.table.add_columns({"m_stock__wide": "cast(m_stock as double)"})
    writer = IndexWriter(index)
    writer.widen({"m_stock": pa.array([8.5])})
    assert str(index.table.schema.field("m_stock").type) == "double"
    assert index.ids("stock = 3") != []


def test_ids_of_floats_meet_and_rows_that_do_not_count_are_listed(model: Path, tmp_path: Path) -> None:
    rows = priced_rows()[:4]
    for row, name in zip(rows, ("101", "007", "9.0", "red-x"), strict=True):
        row["id"] = name
    build_index(model, source_of(write_table(tmp_path / "shop.parquet", rows)), tmp_path / "index")
    table = pa.table({"id": pa.array([101.0, None, 7.0, 9.0, 101.0]), "price": [1.0, 2.0, 3.0, 4.0, 5.0]})
    pq.write_table(table, tmp_path / "prices.parquet")
    changes = update_columns(tmp_path / "index", str(tmp_path / "prices.parquet"), "id")
    index = ProductIndex.open(tmp_path / "index")
    assert {hit.id: hit.metadata["price"] for hit in index.hits(["101", "9.0"])} == {"101": 5.0, "9.0": 4.0}
    assert changes.updated == 2
    assert changes.skipped == [
        ("7", "is not in the index. Did you mean '007'? (row 2)"),
        ("row 1", "has no id in column 'id'"),
        ("101", "row 0: the id stands in row 4, too, which counts"),
    ]
    removed = remove_from_index(tmp_path / "index", ids=["red_x", "1"])
    assert (removed.removed, removed.skipped[0][1]) == (0, "is not in the index. Did you mean 'red-x'?")
    more = write_table(tmp_path / "more.parquet", [rows[0] | {"id": "7"}, rows[1] | {"id": "8"}])
    added = add_to_index(tmp_path / "index", source_of(more))
    assert added.notes[0].startswith("new, but written nearly like ids that were there: 7 (there is 007).")
    pq.write_table(pa.table({"id": ["7 "], "price": [1.0]}), tmp_path / "none.parquet")
    assert remove_from_index(tmp_path / "index", ids=["7"]).removed == 1
    with pytest.raises(SourceError, match=r"none of its 1 ids .*Did you mean '007'"):
        update_columns(tmp_path / "index", str(tmp_path / "none.parquet"), "id")


def test_a_product_and_its_only_image_are_both_found(model: Path, tmp_path: Path) -> None:
    rows = [row | {"id": name, "picture": f"{name}_front"} for row, name in zip(priced_rows(), "ABC", strict=False)]
    mapping = ColumnMapping("image", ("title",), "picture", "id")
    source = open_source(str(write_table(tmp_path / "shop.parquet", rows)), mapping)
    build_index(model, source, tmp_path / "index")
    (tmp_path / "prices.csv").write_text("id,price\nA,1\nB,2\nA_front,3\n")
    changes = update_columns(tmp_path / "index", str(tmp_path / "prices.csv"), "id")
    assert (changes.updated, changes.skipped) == (
        2,
        [("A", "row 0: each of its images stands in a row of its own, too, which counts")],
    )
    assert ProductIndex.open(tmp_path / "index").hits(["A_front"])[0].metadata["price"] == 3
    removed = remove_from_index(tmp_path / "index", ids=["A", "A_front", "D"])
    assert (removed.removed, removed.skipped) == (1, [("D", "is not in the index")])


def test_an_id_of_floats_and_the_whole_number_are_both_found(model: Path, tmp_path: Path) -> None:
    rows = [row | {"id": name} for row, name in zip(priced_rows(), ["9.0", "x"], strict=False)]
    build_index(model, source_of(write_table(tmp_path / "shop.parquet", rows)), tmp_path / "index")
    removed = remove_from_index(tmp_path / "index", ids=["9", "9.0"])
    assert (removed.removed, removed.skipped) == (1, [])


def test_columns_that_were_asked_for_are_noted_and_no_others(model: Path, tmp_path: Path) -> None:
    rows = [row | {"price": "12,50" if place == 2 else "9.99"} for place, row in enumerate(priced_rows()[:4])]
    for row in rows:
        row["cost"] = row["price"]
    source = source_of(write_table(tmp_path / "shop.parquet", rows))
    (note,) = build_index(model, source, tmp_path / "index", columns=["price", "colour"]).notes
    assert "column 'price' is one of texts, which < and > do not compare: '12,50' (row 2) is no number" in note


def test_a_source_that_lacks_columns_can_be_added(index_path: Path, tmp_path: Path) -> None:
    row = {name: value for name, value in priced_rows()[0].items() if name not in ("stock", "colour")}
    changes = add_to_index(index_path, source_of(write_table(tmp_path / "less.parquet", [row | {"id": "new"}])))
    assert changes.added == 1
    assert ProductIndex.open(index_path).hits(["new"])[0].metadata["stock"] is None


def test_a_manifest_of_the_format_before_is_read(index_path: Path) -> None:
    index = ProductIndex.open(index_path)
    fields = json.loads(index.manifest.to_json()) | {"format": 1}
    for column in fields["columns"]:
        del column["unit"], column["decimal"]
    assert type(index.manifest).from_json(json.dumps(fields), "x").columns == index.manifest.columns


def test_words_that_lead_nowhere_say_what_is_there(
    capsys: pytest.CaptureFixture[str], built: Path, model: Path, tmp_path: Path
) -> None:
    code, _, err = run(capsys, "search", tmp_path / "none", "lemon")
    assert (code, "there is no index here" in err) == (2, True)
    code, _, err = run(capsys, "search", built, "red", "--where", "title contains 'lemon'", "--page", "none")
    assert (code, "--columns price,colour,stock,sale,title" in err) == (2, True)
    code, out, _ = run(capsys, "search", built, "red", "--where", "colour = 'Red'", "--page", "none")
    assert (code, "no image has colour 'Red'. Did you mean 'red'?" in out) == (0, True)
    for group, verbs in {
        "index": ("build", "add", "remove", "verify", "info"),
        "finetune": ("retrieval", "backbone"),
    }.items():
        code, _, err = run(capsys, group)
        assert code == 2
        assert all(f"interbert {group} {verb}" in err for verb in verbs)
        code, out, _ = run(capsys, group, "--help")
        assert code == 0
        assert all(f"usage: interbert {group} {verb} ..." in out for verb in verbs)
        assert "pretrain" not in out.replace("pretraining", "")


def test_a_page_may_spread_lists(values: ProductIndex) -> None:
    from interbert.topics.choice import facet

    assert [facet(hit.metadata["tags"]) for hit in values.hits(["000", "003"])] == [("Summer", "red hat"), None]
