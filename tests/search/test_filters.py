from __future__ import annotations

import contextlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from interbert.errors import FilterError
from interbert.search.columns import Column
from interbert.search.filters import read_filter

COLUMNS = {
    one.name: one
    for one in (
        Column("price", "m_price", "number"),
        Column("stock", "m_stock", "integer"),
        Column("colour", "m_colour", "text"),
        Column("Sale", "m_sale", "boolean"),
        Column("shop name", "m_shop_name", "text"),
        Column("颜色", "m_", "text"),
        Column("day", "m_day", "date"),
        Column("tags", "m_tags", "list"),
    )
}


@pytest.mark.parametrize(
    ("written", "condition"),
    [
        ("price < 50 and colour = 'black'", "((m_price < 50) AND (m_colour = 'black'))"),
        ('price<50 AND colour="black" or stock>0', "(((m_price < 50) AND (m_colour = 'black')) OR (m_stock > 0))"),
        ("not (price >= 1.5e2 or stock == 0)", "(NOT ((m_price >= 150.0) OR (m_stock = 0)))"),
        ("colour in ('red', 'it''s')", "(m_colour IN ('red', 'it''s'))"),
        ('colour not in ("a""b")', "(NOT m_colour IN ('a\"b'))"),
        ("price between -5 and 10", "((m_price >= -5 AND m_price <= 10))"),
        ("stock is not null and colour is null", "((m_stock IS NOT NULL) AND (m_colour IS NULL))"),
        ("sale = true", "(m_sale = TRUE)"),
        ("`shop name` != 'x' and \"shop name\" <> 'y'", "((m_shop_name != 'x') AND (m_shop_name != 'y'))"),
        ("颜色 = '红色'", "(m_ = '红色')"),
        ("colour contains 'Bl'", "((strpos(lower(m_colour), 'bl') > 0))"),
    ],
)
def test_what_people_write_becomes_a_condition(written: str, condition: str) -> None:
    assert read_filter(written, COLUMNS).condition == condition


@pytest.mark.parametrize(
    ("written", "character", "why"),
    [
        ("", 1, "the filter is empty"),
        ("price <", 8, "'price' is compared with a number"),
        ("price < and stock > 1", 9, "'price' is compared with a number"),
        ("price < 'ten'", 9, "'price' is compared with a number"),
        ("colour = 5", 10, "'colour' is compared with a quoted text"),
        ("colour = black", 10, "'colour' is compared with a quoted text"),
        ("sale > true", 8, "'Sale' is compared with = or != and true or false"),
        ("colur = 'a'", 1, "there is no column 'colur'. Did you mean 'colour'?"),
        ("price < 5 stock > 1", 11, "expected 'and', 'or' or the end"),
        ("price ! 5", 7, "'!' means nothing here"),
        ("colour = 'black", 10, "this quote is not closed"),
        ("(price < 5", 11, "expected ')'"),
        ("colour in ('a'", 15, "expected ')' after the list of values"),
        ("stock contains 'a'", 16, "'stock' holds no text"),
        ("price < 1e999", 9, "the number is too large"),
        ("price between 1 or 2", 17, "expected 'and' between"),
        ("colour < 'b'", 10, "holds texts, whose order is that of their characters"),
        ("colour between '1' and '2'", 16, "holds texts, whose order"),
        ("day = 'soon'", 7, "'day' is compared with a quoted date"),
        ("day = '2026-02-30'", 7, "'day' is compared with a quoted date"),
        ("day < 2026", 7, "'day' is compared with a quoted date"),
        ("tags = 'a'", 8, "'tags' is compared with contains"),
        ("title contains 'a'", 1, "'title' is no filter column; build with --columns title"),
        ("(" * 60 + "price < 5" + ")" * 60, 51, "more than 50 conditions"),
    ],
)
def test_a_mistake_is_named_with_its_place(written: str, character: int, why: str) -> None:
    with pytest.raises(FilterError) as caught:
        read_filter(written, COLUMNS, {"title": "build with --columns title"})
    assert f"filter, character {character} " in str(caught.value)
    assert why in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize(
    "attack",
    [
        "price < 5; drop table products",
        "price < 5 -- and",
        "price < (select max(price) from products)",
        "colour = 'a' union select 1",
        "m_price < 5",
        "1 = 1",
        "price < 5 or true",
        "colour = 'a' || 'b'",
        "colour = char(39)",
        "price < 5 /* x */ and stock > 1",
        "colour = 'a\\' or 1=1 --'",
    ],
)
def test_nothing_of_the_database_can_be_reached(attack: str) -> None:
    with pytest.raises(FilterError):
        read_filter(attack, COLUMNS)


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=40))
def test_a_quoted_text_stays_one_text(value: str) -> None:
    condition = read_filter("colour = '" + value.replace("'", "''") + "'", COLUMNS).condition
    inside = condition.removeprefix("(m_colour = '").removesuffix("')")
    assert inside.replace("''", "").count("'") == 0
    assert inside.replace("''", "'") == value


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=60))
def test_any_text_is_a_filter_or_a_mistake(text: str) -> None:
    with contextlib.suppress(FilterError):
        assert read_filter(text, COLUMNS)


def test_a_filter_of_a_million_characters_is_not_read() -> None:
    with pytest.raises(FilterError, match="at most"):
        read_filter("price < 5 or " * 100_000, COLUMNS)
