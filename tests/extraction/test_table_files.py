"""csv, tsv and parquet files: quotes as they are meant, and several files as one table."""

from __future__ import annotations

import csv
import datetime
import decimal
import json
import resource
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from interbert.errors import ColumnError, SourceError, StorageError
from interbert.extraction.sources import open_source
from interbert.extraction.tables import read_rows
from interbert.utils import bounded_parquet


def cells(path: Path, content: str) -> list[list[str | None]]:
    """Cells of every row of a file with this content."""
    path.write_text(content, encoding="utf-8", newline="")
    return [list(row.values()) for row in read_rows(str(path)).rows]


@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize(("name", "separator"), [("a.tsv", "\t"), ("a.csv", "\t"), ("a.csv", "|")])
def test_quotes_of_a_tsv_are_as_somebody_typed_them(tmp_path: Path, name: str, separator: str, end: str) -> None:
    texts = ['"12 inch pan', "a pot", 'a 5" lid, red', '"best" cup', '"a whole quote"']
    rows = [[f"{number}.png", text] for number, text in enumerate(texts)]
    content = end.join(separator.join(row) for row in [["file", "title"], *rows]) + end
    assert cells(tmp_path / name, content) == rows


@pytest.mark.parametrize("quoting", [csv.QUOTE_MINIMAL, csv.QUOTE_ALL])
@pytest.mark.parametrize("text", ['6" pan', "two\nlines", "a\ttab", '"'])
def test_a_tsv_that_a_program_quoted_is_read_as_it_was_meant(tmp_path: Path, text: str, quoting: Any) -> None:
    with (tmp_path / "a.tsv").open("w", newline="") as file:
        csv.writer(file, delimiter="\t", quoting=quoting).writerows(
            [["file", "title"], ["a.png", text], ["b.png", "x"]]
        )
    found = [list(row.values()) for row in read_rows(str(tmp_path / "a.tsv")).rows]
    assert found == [["a.png", text], ["b.png", "x"]]


def test_a_quote_in_a_csv_that_swallows_lines_is_named(tmp_path: Path) -> None:
    assert cells(tmp_path / "a.csv", 'file,title\na.png,"a, ""b""\nc"\n') == [["a.png", 'a, "b"\nc']]
    with pytest.raises(SourceError, match=r"a\.csv: line 2 .* in the middle of line 4\. Put quotes around the whole"):
        cells(tmp_path / "a.csv", 'file,title\na.png,"12 inch\nb.png,x\nc.png,a 3" pan\nd.png,z\n')


def test_a_long_text_is_a_text(tmp_path: Path) -> None:
    before = csv.field_size_limit()
    assert cells(tmp_path / "a.csv", f"file,title\na.png,{'x' * 200_000}\n") == [["a.png", "x" * 200_000]]
    assert csv.field_size_limit() == before


@pytest.mark.parametrize(
    ("content", "columns"),
    [
        (
            ",id,ean\n0,007,0400\n1,7,12\n",
            {"column 1": ["0", "1"], "id": ["007", "7"], "ean": ["0400", "12"]},
        ),  # pandas
        ('"","id"\n"1","007"\n"2","7"\n', {"column 1": ["1", "2"], "id": ["007", "7"]}),  # R
        ("id;ean;\n007;0400;\n7;12;\n", {"id": ["007", "7"], "ean": ["0400", "12"], "column 3": [None, None]}),
        ("sep=;\nid;price\n007;1,5\n7;2\n", {"id": ["007", "7"], "price": ["1,5", "2"]}),  # Excel
        ("id,colour,colour\n007,red,blue\n", {"id": ["007"], "colour": ["red"], "colour (2)": ["blue"]}),
    ],
)
def test_cells_of_every_header_are_texts(tmp_path: Path, content: str, columns: dict[str, list[str | None]]) -> None:
    (tmp_path / "a.csv").write_text(content)
    assert read_rows(str(tmp_path / "a.csv")).rows[:] == columns


def test_a_line_is_named_as_an_editor_counts_it(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("sep=;\nid;title\n1;a\n2;b;c\n")
    with pytest.raises(SourceError, match="line 4 has 3 cells, the header 2"):
        read_rows(str(tmp_path / "a.csv"))


def test_csv_files_with_other_columns_and_separators_are_one_table(tmp_path: Path) -> None:
    (tmp_path / "1.csv").write_text("a,b\n01,2\n")
    (tmp_path / "2.csv").write_text("c;b\n3;4\n")
    (tmp_path / "3.csv").write_text("a\n")
    found = read_rows(str(tmp_path / "*.csv")).rows
    assert list(found) == [{"a": "01", "b": "2", "c": None}, {"a": None, "b": "4", "c": "3"}]


def parts(folder: Path, *columns: dict[str, Any]) -> str:
    """A folder of parquet files with these columns."""
    for number, one in enumerate(columns):
        pq.write_table(pa.table(one), folder / f"part-{number}.parquet")
    return str(folder)


def test_parquet_parts_whose_columns_differ_in_type_are_unified(tmp_path: Path) -> None:
    source = parts(
        tmp_path,
        {"note": pa.nulls(2), "price": [1, 2], "sku": ["000116", "a"], "stock": pa.array([1, 2], pa.int8())},
        {"note": [0.5, None], "price": [1.5, None], "sku": [412.0, None], "stock": [3, 4]},
        {"price": [7, 8], "sku": [5, 6], "extra": [True, False]},
    )
    table = read_rows(source).rows.with_format("arrow")[:].to_pydict()
    assert table == {
        "note": [None, None, 0.5, None, None, None],
        "price": [1.0, 2.0, 1.5, None, 7.0, 8.0],
        "sku": ["000116", "a", "412", None, "5", "6"],
        "stock": [1, 2, 3, 4, None, None],
        "extra": [None] * 4 + [True, False],
    }


def test_values_of_unified_parts_are_as_they_are_written(tmp_path: Path) -> None:
    source = parts(
        tmp_path,
        {
            "id": pa.array(["0400638133393", "b", "c"]),
            "price": pa.array([19.99, None, 0.1], pa.float32()),
            "cost": pa.array([decimal.Decimal("19.99"), None, decimal.Decimal("0.10")]),
            "since": pa.array([datetime.date(2026, 1, 5)] * 3),
        },
        {
            "id": pa.array([4006381333931.0, float("nan"), 5.0]),
            "price": pa.array([1.5, 2.5, 3.5]),
            "cost": pa.array([1.5, 2.5, 3.5]),
            "since": pa.array(["soon", None, "2026"]),
        },
    )
    found = read_rows(source)
    assert found.left_out == {}
    assert found.rows[:] == {
        "id": ["0400638133393", "b", "c", "4006381333931", None, "5"],
        "price": [19.99, None, 0.1, 1.5, 2.5, 3.5],
        "cost": [19.99, None, 0.1, 1.5, 2.5, 3.5],
        "since": ["2026-01-05"] * 3 + ["soon", None, "2026"],
    }


def test_parquet_parts_whose_unused_columns_do_not_fit_are_read_and_the_columns_named(tmp_path: Path) -> None:
    images = [b"\x89PNG"] * 2
    source = parts(
        tmp_path,
        {"image": images, "title": ["a", "b"], "tags": [["x"], []], "big": [2**53 + 1, 1]},
        {"image": images, "title": ["c", "d"], "tags": ["x", "y"], "big": [0.5, 1.0]},
    )
    opened = open_source(source)
    assert [item.texts for item in opened] == [("a",), ("b",), ("c",), ("d",)]
    assert all(item.problem is None for item in opened)
    assert opened.column_names == ["image", "title"]
    assert list(opened.left_out) == ["tags", "big"]
    with pytest.raises(ColumnError, match=r"column 'tags' is list.* in part-0.parquet and string in part-1.parquet"):
        opened.other_columns(["tags"])


def test_parquet_parts_without_rows_and_damaged_ones(tmp_path: Path) -> None:
    source = parts(tmp_path, {"a": pa.array([], pa.string())}, {"a": [1, 2]})
    assert read_rows(source).rows["a"][:] == [1, 2]
    (tmp_path / "part-2.parquet").write_bytes(b"PAR1 no")
    with pytest.raises(SourceError, match=r"part-2\.parquet: cannot be read"):
        read_rows(source)


LONG = "x" * 20_000
KINDS: dict[str, Any] = {
    "text": pa.string(),
    "large text": pa.large_string(),
    "bytes": pa.binary(),
    "large bytes": pa.large_binary(),
    "so many bytes": pa.binary(len(LONG)),
    "codes": pa.dictionary(pa.int32(), pa.string()),
    "list": pa.list_(pa.string()),
    "large list": pa.large_list(pa.string()),
    "list of so many": pa.list_(pa.string(), 5),
    "list of so many structs": pa.list_(pa.struct([("a", pa.string())]), 5),
    "lists in lists": pa.list_(pa.list_(pa.string(), 2), 3),
    "map": pa.map_(pa.string(), pa.string()),
    "struct": pa.struct([("a", pa.string()), ("b", pa.list_(pa.string()))]),
    "json": pa.json_(),
}


def _of_kind(kind: Any) -> Any:
    if isinstance(kind, pa.JsonType):
        return f'"{LONG}"'
    if pa.types.is_struct(kind):
        return {field.name: _of_kind(field.type) for field in kind}
    if pa.types.is_map(kind):
        return [("k", LONG)] * 5
    if pa.types.is_fixed_size_list(kind):
        return [_of_kind(kind.value_type)] * kind.list_size
    if pa.types.is_list(kind) or pa.types.is_large_list(kind):
        return [_of_kind(kind.value_type)] * 5
    return LONG.encode() if "binary" in str(kind) else LONG


@pytest.mark.parametrize("kind", KINDS)
def test_values_that_are_stored_once_are_counted_wherever_they_stand(
    tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A text of 95,000 characters in a million places is a parquet file of some kB."""
    value = _of_kind(KINDS[kind])
    size = json.dumps(value, default=bytes.decode).count("x")
    column = pa.array([None, *[value] * 30], KINDS[kind])
    pq.write_table(pa.table({"title": column}), tmp_path / "a.parquet")
    assert (tmp_path / "a.parquet").stat().st_size < 5000
    monkeypatch.setattr(bounded_parquet, "EXPANDED_TIMES", 1)
    monkeypatch.setattr(bounded_parquet, "EXPANDED", 30 * size + 40_000)
    assert sum(batch.num_rows for batch in bounded_parquet.counted_batches(tmp_path / "a.parquet")) == 31
    monkeypatch.setattr(bounded_parquet, "EXPANDED", 30 * size - 10)
    with pytest.raises(SourceError, match="its values have more than"):
        list(bounded_parquet.counted_batches(tmp_path / "a.parquet"))
    monkeypatch.setattr(bounded_parquet, "MAX_ROW", size - 10)
    with pytest.raises(SourceError, match=r"row [01] has "):
        list(bounded_parquet.counted_batches(tmp_path / "a.parquet"))


def test_a_message_cuts_long_cells(tmp_path: Path) -> None:
    (tmp_path / "a.tsv").write_text(f"1\t{'A' * 300_000}\n2\tx\n")
    with pytest.raises(ColumnError) as caught:
        open_source(str(tmp_path / "a.tsv"))
    assert len(str(caught.value)) < 400


@pytest.mark.parametrize("name", ["a.csv", "a.parquet", "a.jsonl"])
def test_a_table_that_has_no_room_for_its_copy_is_not_called_damaged(tmp_path: Path, name: str) -> None:
    file, rows = tmp_path / name, [{"image": f"{number}.png", "title": "a shoe"} for number in range(50)]
    if name == "a.csv":
        file.write_text("image,title\n" + "".join(f"{row['image']},{row['title']}\n" for row in rows))
    elif name == "a.jsonl":
        file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    else:
        pq.write_table(pa.Table.from_pylist(rows), file)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (500, hard))
    try:
        with pytest.raises(StorageError, match="the disk is full"):
            read_rows(str(file), None)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert len(read_rows(str(file), None).rows) == 50
