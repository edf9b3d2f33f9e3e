"""Forms in which sources write values: fractions of seconds, marks of decimals, codes, lists, blank texts, dates."""

from __future__ import annotations

import datetime

import pyarrow as pa
import pytest

from interbert.search.columns import Column, cast_columns


def cast(values: object, column: Column) -> list[object]:
    """What a column keeps of new values."""
    found: list[object] = cast_columns(pa.table({"x": values}), [column], "t")["x"].to_pylist()
    return found


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
