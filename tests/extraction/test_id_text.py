from __future__ import annotations

from datetime import date, datetime
from decimal import Decimal
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from interbert.extraction.columns import id_text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("000116", "000116"),
        ("101.0", "101.0"),
        ("2026-01-01", "2026-01-01"),
        ("nan", "nan"),
        (" a ", " a "),
        (412, "412"),
        (0, "0"),
        (101.0, "101"),
        (np.float32(101), "101"),
        (np.int64(2**53 + 1), "9007199254740993"),
        (2**80, str(2**80)),
        (Decimal("101.00"), "101"),
        (Decimal("1.50"), "1.50"),
        (1.5, "1.5"),
        (True, "True"),
        (date(2026, 1, 1), "2026-01-01"),
        (datetime(2026, 1, 1), "2026-01-01 00:00:00"),
    ],
)
def test_an_id_is_the_same_text_whatever_a_source_makes_of_it(value: Any, text: str) -> None:
    assert id_text(value) == text


def test_ids_that_pandas_made_floats_meet_those_that_it_did_not() -> None:
    assert [id_text(one) for one in pa.array([101.0, None]).to_pylist()] == ["101", None]


@pytest.mark.parametrize(
    "value",
    [None, "", "  ", "\n", float("nan"), np.nan, np.float32("nan"), np.datetime64("NaT"), Decimal("NaN"), np.inf],
)
def test_an_empty_cell_is_no_id(value: Any) -> None:
    assert id_text(value) is None
