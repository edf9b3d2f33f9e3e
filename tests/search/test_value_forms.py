"""Forms in which sources write values: fractions of seconds, marks of decimals, codes, lists, blank texts, dates."""

from __future__ import annotations

import datetime
from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pytest

from interbert.errors import SourceError
from interbert.search.casting import cast_columns
from interbert.search.columns import Column, Kind, column_notes, find_columns
from interbert.search.index import ProductIndex
from interbert.search.suggestions import filter_notes


def cast(values: object, column: Column) -> list[object]:
    """What a column keeps of new values."""
    kept: list[object] = cast_columns(pa.table({"x": values}), [column], "t")["x"].to_pylist()
    return kept


def found(values: object) -> Column:
    """The column that a build makes of values."""
    (column,) = find_columns(pa.table({"x": values}), "t")
    return Column("x", "x", column.kind, column.unit, column.decimal)


@pytest.mark.parametrize(
    ("microseconds", "written"),
    [(12345, ".012345"), (120000, ".12"), (100, ".0001"), (10, ".00001"), (0, ""), (100200, ".1002")],
)
def test_only_zeros_at_the_end_of_a_fraction_go(microseconds: int, written: str) -> None:
    moment = datetime.datetime(2026, 1, 5, 10, 0, 0, microseconds)
    for unit in ("us", "ns"):
        column = Column("x", "x", "date")
        assert cast(pa.array([moment], pa.timestamp(unit)), column) == [f"2026-01-05 10:00:00{written}"]
        zoned = pa.array([moment - datetime.timedelta(hours=8)], pa.timestamp(unit, "Asia/Shanghai"))
        assert cast(zoned, column) == [f"2026-01-05 10:00:00{written}+0800"]
        utc = pa.array([moment], pa.timestamp(unit, "UTC"))
        assert cast(utc, column) == [f"2026-01-05 10:00:00{written}Z"]


def test_a_mark_of_decimals_that_no_price_showed_stays_unknown() -> None:
    euros = found(["5 €", "899 €", "1 200 €"])
    assert euros == Column("x", "x", "integer", "€", "")
    assert cast(["5 €", "899 €", "1 200 €", "7"], euros) == [5, 899, 1200, 7]
    assert cast(["12,50 €", "1.299 €"], euros) == [12.5, 1299.0]
    assert cast(["12.50 €", "7"], euros) == [12.5, 7.0]
    assert cast(["1.299,00 €"], euros) == [1299]
    with pytest.raises(SourceError, match=r"row 1: 'x' is '1\.299 €'.*can be read in two ways"):
        cast(["5 €", "1.299 €"], euros)
    with pytest.raises(SourceError, match=r"row 0: 'x' is '1\.299 €'"):
        cast(["1.299 €"], euros)
    with pytest.raises(SourceError, match=r"row 1: 'x' is '\$5'"):
        cast(["5 €", "$5"], euros)
    dollars = found(["$5", "$899"])
    assert dollars.decimal == ""
    assert cast(["$1,299", "$7"], dollars) == [1299, 7]
    assert found(["12,50 €", "5 €"]).decimal == ","


@pytest.mark.parametrize("kind", ["integer", "number"])
def test_codes_with_leading_zeros_are_no_numbers(kind: Kind) -> None:
    for decimal in ("", ".", ","):
        column = Column("x", "x", kind, "", decimal)
        for code in ("0012345678905", "-007", "12345678901234567890"):
            with pytest.raises(SourceError, match=f"row 1: 'x' is '{code}'"):
                cast(["5", code], column)
        assert cast(["0", None, ""], column) == [0, None, None]
    assert cast(["0.5", "0"], Column("x", "x", kind)) == [0.5, 0.0]


def test_a_boolean_is_true_or_false_and_no_number() -> None:
    sale = Column("x", "x", "boolean")
    for values in ([True, None, False], [1, None, 0], [1.0, None, 0.0], ["True", "", "false"], ["1", None, "0"]):
        assert cast(values, sale) == [True, None, False]
    assert cast(pa.nulls(2), sale) == [None, None]
    assert cast([Decimal("1"), None, Decimal("0")], sale) == [True, None, False]
    for values in ([1, 5], [1.0, 0.5], [0, -1], ["true", "5"], ["1", "yes"]):
        with pytest.raises(SourceError, match=r"row 1: 'x' is .* but this column holds true or false"):
            cast(values, sale)
    for kind in ("integer", "number"):
        with pytest.raises(SourceError, match="row 0: 'x' is 'True'"):
            cast([True, False], Column("x", "x", kind))


def test_floats_in_a_column_of_texts_are_written_as_ids_are() -> None:
    texts = Column("x", "x", "text")
    assert cast([4006381333931.0, float("nan"), None, 1.5], texts) == ["4006381333931", None, None, "1.5"]
    assert cast(pa.array([7.0, 0.1], pa.float32()), texts) == ["7", "0.1"]
    assert cast([Decimal("4006381333931.00"), Decimal("1.50")], texts) == ["4006381333931", "1.50"]
    assert cast([4006381333931, 7], texts) == ["4006381333931", "7"]
    assert cast([[4006381333931.0, 1.5]], Column("x", "x", "list")) == [["4006381333931", "1.5"]]


def test_blank_texts_are_no_values() -> None:
    assert cast(["red", "", " \t", None, " blue "], Column("x", "x", "text")) == ["red", None, None, None, " blue "]
    assert cast([["red", "", None], [""], [], None], Column("x", "x", "list")) == [["red"], [], [], None]


def test_lists_that_texts_spell_are_lists() -> None:
    tags = Column("x", "x", "list")
    written = [
        "['red', 'hat']",
        "[]",
        ' ["it\'s", "caf\\u00e9"] ',
        "[1, 2.5]",
        "red, hat",
        None,
        "",
        "['a, b', \"[c]\"]",
    ]
    members = [["red", "hat"], [], ["it's", "café"], ["1", "2.5"], ["red, hat"], None, None, ["a, b", "[c]"]]
    assert cast(written, tags) == members
    for text in ("[red]", "['red' 'hat']", "[['red']]", "[None]", "[True]", "[open('x')]", "[x for x in 'a']"):
        with pytest.raises(SourceError, match=r"row 1: 'x' is .* but this column holds lists of texts"):
            cast(["red", text], tags)
    assert cast(['["\\ud83d\\ude00", 1.50]'], tags) == [["😀", "1.50"]]
    for long in ('["\\ud83d"]', "[NaN]", "[" * 9000 + "]" * 9000, "[" + "1," * 20_000 + "]"):
        with pytest.raises(SourceError, match="row 0"):
            cast([long], tags)


def notes(values: object) -> list[str]:
    table = pa.table({"x": values})
    return column_notes(table, find_columns(table, "t"))


def test_dates_begin_with_the_year_and_others_are_said() -> None:
    for written in ("2026.01.05", "2026/1/5", "2026-01-05", "2026.1.5"):
        assert (found([written]).kind, cast([written], found([written]))) == ("date", ["2026-01-05"])
    for values, row in (
        (["2026-01-05", None, "soon", "2026/1/6"], "'soon' (row 2)"),
        (["2026-01-05", "2026-02-30"], "'2026-02-30' (row 1)"),
        (["05.01.2026", "06.01.2026"], "'05.01.2026' (row 0)"),
        (["", "1/5/2026"], "'1/5/2026' (row 1)"),
    ):
        assert found(values).kind == "text"
        (note,) = notes(values)
        assert f"one of texts, not of dates: {row} is no date. Write dates as 2026-01-05" in note
    assert notes(["red", "blue", "2026-01-05"]) == []
    assert notes(["1.2.3", "10-12-14"]) == []


def test_points_that_may_part_thousands_are_said() -> None:
    (note,) = notes(["899", "1.299", None])
    assert "'x': the point of '1.299' (row 1) was read as that of a decimal" in note
    for values in (
        ["899", "1.299", "9.5"],
        ["0.125"],
        ["899"],
        ["1234.567"],
        ["1.299", "12,50"],
        ["1.299,00", "1.299"],
    ):
        assert notes(values) == [] or found(values).kind == "text"
    assert notes([1.299, 899.0]) == []


def test_a_date_beside_texts_that_are_no_dates_is_said(index_path: Path) -> None:
    index = ProductIndex.open(index_path)
    old = {"red-circle": "05.01.2026", "blue-circle": "06.01.2026"}
    table = pa.table({"picture_id": list(old), "m_colour": list(old.values())})
    index.table.merge_insert("picture_id").when_matched_update_all().execute(table)
    for where in ("colour > '2026-01-05'", "colour between '2026-01-05' and '2026-02-01'"):
        (note,) = filter_notes(index, where)
        assert note.startswith("colour holds texts, 24 of which are no dates as filters compare them, such as '")
        assert "Write dates as 2026-01-05" in note
    assert len(filter_notes(index, "colour = '2026-01-05'")) == 2
    assert len(filter_notes(index, "picture_id = '2026-01-05'")) == 1
    dates = pa.table({"picture_id": index.ids(), "m_colour": ["2026-01-05"] * 24})
    index.table.merge_insert("picture_id").when_matched_update_all().execute(dates)
    assert filter_notes(index, "colour > '2026-01-04'") == []
