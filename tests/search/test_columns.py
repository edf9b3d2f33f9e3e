from __future__ import annotations

import pyarrow as pa
import pytest

from interbert.errors import ColumnError, SourceError
from interbert.search.columns import cast_columns, find_columns


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


def test_a_column_that_is_missing_or_holds_lists_is_named() -> None:
    table = pa.table({"colour": ["a"], "tags": [["a"]]})
    with pytest.raises(ColumnError, match=r"there is no column 'color'\. Did you mean 'colour'"):
        find_columns(table, "t", ["color"])
    with pytest.raises(SourceError, match="column 'tags' holds no single values"):
        find_columns(table, "t", ["tags"])


def test_a_value_that_does_not_fit_is_named_with_its_row() -> None:
    (column,) = find_columns(pa.table({"stock": [1, 2]}), "t")
    with pytest.raises(SourceError, match=r"new.csv, row 1: 'stock' is 'many', but this column holds whole numbers"):
        cast_columns(pa.table({"stock": ["3", "many"]}), [column], "new.csv")
    assert cast_columns(pa.table({"other": [1, 2]}), [column], "t")["m_stock"].to_pylist() == [None, None]
