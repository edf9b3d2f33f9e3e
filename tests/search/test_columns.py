from __future__ import annotations

import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any, cast

import pyarrow as pa
import pytest

from interbert.errors import ColumnError, SourceError
from interbert.extraction.tables import read_rows
from interbert.search import casting, parsing
from interbert.search.casting import cast_columns
from interbert.search.columns import Column, Kind, column_notes, find_columns


def test_kinds_come_from_types_and_from_what_texts_say() -> None:
    table = pa.table(
        {
            "price": ["9.50", " 12 ", ""],
            "stock": ["3", None, "0"],
            "sku": ["007", "012", "100"],
            "sale": ["true", "False", None],
            "Colour": ["red", "", None],
            "year": pa.array([2011, 2012, None], pa.int32()),
            "weight": pa.array([1.0, float("nan"), 2.0]),
            "tags": [["a"], [], None],
            "blob": [b"a", b"b", None],
        }
    )
    columns = find_columns(table, "shop.csv")
    assert {one.name: one.kind for one in columns} == {
        "price": "number",
        "stock": "integer",
        "sku": "text",
        "sale": "boolean",
        "Colour": "text",
        "year": "integer",
        "weight": "number",
        "tags": "list",
    }
    values = {name: array.to_pylist() for name, array in cast_columns(table, columns, "shop.csv").items()}
    assert values["m_price"] == [9.5, 12.0, None]
    assert values["m_stock"] == [3, None, 0]
    assert values["m_sale"] == [True, False, None]
    assert values["m_weight"] == [1.0, None, 2.0]
    assert values["m_sku"] == ["007", "012", "100"]


def test_names_of_the_database_need_no_quotes_and_are_unique() -> None:
    table = pa.table({"Price (EUR)": [1], "price eur": [2], "颜色": ["a"], "尺寸": ["b"]})
    fields = [one.field for one in find_columns(table, "t")]
    assert fields == ["m_price_eur", "m_price_eur_2", "m_", "m__2"]


def test_a_column_that_is_missing_or_holds_structures_is_named() -> None:
    table = pa.table({"colour": ["a"], "tags": [{"a": 1}]})
    with pytest.raises(ColumnError, match=r"there is no column 'color'\. Did you mean 'colour'"):
        find_columns(table, "t", ["color"])
    with pytest.raises(SourceError, match="column 'tags' holds struct<a: int64>, neither single"):
        find_columns(table, "t", ["tags"])


def test_a_value_that_does_not_fit_is_named_with_its_row() -> None:
    (column,) = find_columns(pa.table({"stock": [1, 2]}), "t")
    with pytest.raises(SourceError, match=r"new.csv, row 1: 'stock' is 'many', but this column holds whole numbers"):
        cast_columns(pa.table({"stock": ["3", "many"]}), [column], "new.csv")
    assert cast_columns(pa.table({"other": [1, 2]}), [column], "t")["m_stock"].to_pylist() == [None, None]


@pytest.mark.parametrize(
    ("values", "kind", "decimal", "row"),
    [
        (["$5.50"] * 700 + ["oops"], "number", ".", 700),
        (["$5.50"] * 3 + ["oops"] + ["$5.50"] * 700 + ["no"], "number", ".", 3),
        (["oops"] + ["5"] * 700, "number", "", 0),
        (["1,019"] * 600 + ["20.5", "oops"], "number", "", 601),
        (["5"] * 700 + ["6.5", "oops"], "integer", "", 701),
        (["true"] * 700 + ["maybe", None], "boolean", "", 700),
        ([None] * 700 + ["2026-01-05", "soon"], "date", "", 701),
    ],
)
def test_the_row_that_does_not_fit_is_found_in_few_looks_at_the_others(
    monkeypatch: pytest.MonkeyPatch, values: list[str | None], kind: Kind, decimal: parsing.Decimal, row: int
) -> None:
    looked: list[int] = []
    plain = casting._fitted

    def counting(part: pa.Array, *rest: Any) -> Any:
        looked.append(len(part))
        return plain(part, *rest)

    monkeypatch.setattr(casting, "_fitted", counting)
    with pytest.raises(SourceError, match=f"new.csv, row {row}: 'x' is {values[row]!r}, but this"):
        cast_columns(pa.table({"x": values}), [Column("x", "x", kind, "$" if decimal else "", decimal)], "new.csv")
    assert sum(looked) <= 2 * len(values) + 1


def test_numbers_that_fit_only_as_most_are_written_are_refused_with_one_that_does_not_fit() -> None:
    with pytest.raises(SourceError, match=r"row 1: 'x' is '1,019\.99', but this column holds numbers"):
        cast_columns(pa.table({"x": ["1e5", "1,019.99", "2,000.5"]}), [Column("x", "x", "number")], "t")


@pytest.mark.parametrize(
    "values", [[1, "inf"], [1, "-Infinity"], [1, "1e999"], [1.0, float("inf")], [1, -float("inf")]]
)
def test_infinity_is_no_whole_number(values: list[Any]) -> None:
    texts = isinstance(values[1], str)
    table = pa.table({"x": [str(one) for one in values] if texts else pa.array(values, pa.float64())})
    for kind, words in {"integer": "whole numbers", "number": "numbers"}.items():
        if texts or kind == "integer":
            with pytest.raises(SourceError, match=f"t, row 1: 'x' is '{values[1]}', but this column holds {words}"):
                cast_columns(table, [Column("x", "x", cast(Kind, kind))], "t")
        else:
            assert cast_columns(table, [Column("x", "x", "number")], "t")["x"].to_pylist() == values


def kept(values: object, name: str = "x") -> tuple[str, str, list[object]]:
    """Kind, unit and what is kept of a column."""
    table = pa.table({name: values})
    (column,) = find_columns(table, "t")
    return column.kind, column.unit, cast_columns(table, [column], "t")[column.field].to_pylist()


@pytest.mark.parametrize(
    ("written", "kind", "unit", "values"),
    [
        (["$1,019.99", "$9.99", None, ""], "number", "$", [1019.99, 9.99, None, None]),
        (["12,50 €", "1.019,00 €"], "number", "€", [12.5, 1019.0]),
        (["￥１２", "8元"], "integer", "¥", [12, 8]),
        (["¥100", "CN¥1,000", "RMB 5"], "integer", "¥", [100, 1000, 5]),
        (["¥100", "1,000円", "JPY 5"], "integer", "円", [100, 1000, 5]),
        (["JPY 1000"], "integer", "円", [1000]),
        (["CNY 100", "JPY 1000"], "text", "", ["CNY 100", "JPY 1000"]),
        (["¥5", "5元", "5円"], "text", "", ["¥5", "5元", "5円"]),
        (["1,234,567", "56"], "integer", "", [1234567, 56]),
        (["1 019,99", "-2,5"], "number", "", [1019.99, -2.5]),
        (["$1,019", "$20"], "integer", "$", [1019, 20]),
        (["1.019", "nan"], "number", "", [1.019, None]),
        (["1,019", "20"], "text", "", ["1,019", "20"]),
        (["$5", "€6"], "text", "", ["$5", "€6"]),
        (["12345678901234567890"], "text", "", ["12345678901234567890"]),
        (["2026-01-05", "2026-01-05T10:00:00Z"], "date", "", ["2026-01-05", "2026-01-05T10:00:00Z"]),
        (["2026/1/5", "2026年1月5日"], "date", "", ["2026-01-05", "2026-01-05"]),
        (["2026-02-30"], "text", "", ["2026-02-30"]),
    ],
)
def test_prices_and_dates_in_texts(written: list[str], kind: str, unit: str, values: list[object]) -> None:
    assert kept(written) == (kind, unit, values)


def test_numbers_are_what_their_decimals_say() -> None:
    assert kept(pa.array([19.99, float("nan"), 0.1], pa.float32())) == ("number", "", [19.99, None, 0.1])
    assert kept([Decimal("19.99"), None]) == ("number", "", [19.99, None])
    assert kept(pa.array([2**63 + 5], pa.uint64()))[0] == "number"


def test_dates_of_every_type_are_iso_texts() -> None:
    moment = datetime.datetime(2026, 1, 5, 5, 30)
    assert kept([datetime.date(2026, 1, 5)]) == ("date", "", ["2026-01-05"])
    assert kept(pa.array([moment.date()], pa.date64())) == ("date", "", ["2026-01-05"])
    for unit in ("s", "ms", "us", "ns"):
        values = [moment, datetime.datetime(2026, 1, 5), None]
        assert kept(pa.array(values, pa.timestamp(unit))) == ("date", "", ["2026-01-05 05:30:00", "2026-01-05", None])
        zoned = pa.array(values[:1], pa.timestamp(unit, "Asia/Shanghai"))
        assert kept(zoned) == ("date", "", ["2026-01-05 13:30:00+0800"])


def test_lists_are_lists_of_texts() -> None:
    assert kept([["a", "b"], [], None]) == ("list", "", [["a", "b"], [], None])
    assert kept([[1, 2], None]) == ("list", "", [["1", "2"], None])
    assert kept(pa.array([["a", "b"]] * 2, pa.list_(pa.string(), 2)))[2] == [["a", "b"]] * 2
    column = Column("x", "x", "list")
    assert cast_columns(pa.table({"x": ["a", None]}), [column], "t")["x"].to_pylist() == [["a"], None]


def test_what_is_left_out_and_what_is_nearly_a_number_is_said_with_the_row() -> None:
    table = pa.table(
        {
            "price": ["19.99", None, "12,50", "9.99"],
            "cost": ["$5", "$6", "€7", "$8"],
            "views": ["1,019", "20", "3", "4"],
            "fee": ["¥5", "6元", "7円", "¥8"],
            "sku": ["007", "012", "x", "1"],
            "blob": [b"a"] * 4,
            "empty": pa.nulls(4),
        }
    )
    notes = column_notes(table, find_columns(table, "t"))
    assert len(notes) == 6
    for note, part in zip(
        notes,
        [
            "'price' is one of texts, which < and > do not compare: '12,50' (row 2) is no number, and 2 others are",
            "'cost' is one of texts, which < and > do not compare: its values are not all of one currency, such as "
            "'$5' (row 0) and '€7' (row 2)",
            "'1,019' (row 0) can be read in two ways",
            "'fee' is one of texts, which < and > do not compare: its values are not all of one currency, such as "
            "'6元' (row 1) and '7円' (row 2)",
            "'blob' is no filter column: it holds binary",
            "'empty' is empty",
        ],
        strict=True,
    ):
        assert part in note


def test_whole_numbers_widen_and_other_currencies_do_not_fit() -> None:
    whole, dollars = Column("x", "x", "integer"), Column("x", "x", "number", "$", ".")

    def cast(values: object, column: Column) -> object:
        return cast_columns(pa.table({"x": values}), [column], "t")["x"].to_pylist()

    assert cast([8, 8.5], whole) == [8.0, 8.5]
    assert cast([101.0, None], whole) == [101, None]
    assert cast(["8", "8.5"], whole) == [8.0, 8.5]
    assert cast([Decimal("8.5")], whole) == [8.5]
    assert cast(["$5", "7"], dollars) == [5.0, 7.0]
    with pytest.raises(SourceError, match=r"row 1: 'x' is '€5', but this column holds numbers in \$"):
        cast(["$5", "€5"], dollars)
    yuan, yen = Column("x", "x", "integer", "¥", "."), Column("x", "x", "integer", "円", ".")
    assert cast(["¥5", "CNY 6", "7"], yuan) == [5, 6, 7]
    assert cast(["¥5", "JPY 6", "7"], yen) == [5, 6, 7]
    with pytest.raises(SourceError, match="row 1: 'x' is '6円', but this column holds whole numbers in ¥"):
        cast(["¥5", "6円"], yuan)
    with pytest.raises(SourceError, match="row 1: 'x' is '6元', but this column holds whole numbers in 円"):
        cast(["¥5", "6元"], yen)
    with pytest.raises(SourceError, match="row 1: 'x' is 'soon', but this column holds dates"):
        cast(["2026-01-05", "soon"], Column("x", "x", "date"))


def test_json_values_of_mixed_types_are_numbers_where_all_are(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('{"price": 5}\n{"price": "19.99"}\n')
    table = read_rows(str(tmp_path / "a.jsonl")).rows.with_format("arrow")[:]
    columns = find_columns(table, "t")
    assert cast_columns(table, columns, "t")["m_price"].to_pylist() == [5.0, 19.99]
    cells = {"price": ["5", '"19.99"', None], "tags": ["1", "[1]", None]}
    table = pa.table({name: pa.array(texts, pa.json_()) for name, texts in cells.items()})
    columns = find_columns(table, "t")
    assert cast_columns(table, columns, "t")["m_price"].to_pylist() == [5.0, 19.99, None]
    assert [note.split(":")[0] for note in column_notes(table, columns)] == ["column 'tags' is no filter column"]
