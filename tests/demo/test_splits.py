from __future__ import annotations

from collections.abc import Iterator, Sequence

import pytest

from interbert.demo.catalogue import SMALLEST, is_chinese, split_rows
from interbert.errors import SourceError


class Rows:
    """Stands for a source: split_rows reads its name, products and texts."""

    name = "shop.csv"

    def __init__(self, rows: Sequence[tuple[str, tuple[str, ...]]]) -> None:
        self.rows = list(rows)

    def products_and_texts(self) -> Iterator[tuple[str, tuple[str, ...]]]:
        return iter(self.rows)


def apart(count: int) -> Rows:
    return Rows([(f"p{row}", (f"title {row}",)) for row in range(count)])


def where(splits: dict[str, list[int]]) -> dict[int, str]:
    """Row -> split."""
    found = {row: name for name, rows in splits.items() for row in rows}
    assert len(found) == sum(map(len, splits.values())), "a row is in two splits"
    return found


def test_every_row_is_in_one_split_of_the_size_asked_for() -> None:
    splits = split_rows(apart(100), most=1000, test=12, validation=8)
    assert {name: len(rows) for name, rows in splits.items()} == {"test": 12, "validation": 8, "train": 80}
    assert sorted(where(splits)) == list(range(100))
    assert all(rows == sorted(rows) for rows in splits.values())
    assert splits["test"] != list(range(12))


def test_held_out_splits_are_at_most_a_fifth_and_a_tenth_of_a_small_source() -> None:
    splits = split_rows(apart(50), most=1000, test=120, validation=80)
    assert {name: len(rows) for name, rows in splits.items()} == {"test": 10, "validation": 5, "train": 35}


def test_at_most_so_many_rows_are_used() -> None:
    assert len(where(split_rows(apart(100), most=60, test=10, validation=5))) == 60


def test_rows_that_share_a_product_or_a_text_stay_together() -> None:
    rows = [(f"p{row // 3}", (f"title {row}", "common" if row in (0, 150) else f"other {row}")) for row in range(240)]
    rows[1] = ("p0", ("Title   200",))  # as row 200 has it, but for case and spaces
    split = where(split_rows(Rows(rows), most=1000, test=40, validation=20))
    for row in range(0, 240, 3):
        assert split[row] == split[row + 1] == split[row + 2]
    assert split[0] == split[150] == split[200]
    assert set(split.values()) == {"train", "test", "validation"}


def test_a_large_group_is_trained_on() -> None:
    rows = [("big", (f"title {row}",)) for row in range(10)] + apart(100).rows
    split = where(split_rows(Rows(rows), most=1000, test=20, validation=10))
    assert {split[row] for row in range(10)} == {"train"}


def test_the_same_source_is_split_the_same_way_twice() -> None:
    assert split_rows(apart(90), 1000, 10, 8) == split_rows(apart(90), 1000, 10, 8)


def test_rows_without_a_text_are_left_out() -> None:
    rows = apart(80).rows
    rows[3] = ("p3", ())
    assert 3 not in where(split_rows(Rows(rows), most=1000, test=10, validation=8))


@pytest.mark.parametrize(("count", "most"), [(SMALLEST - 1, 1000), (0, 1000), (100, 10)])
def test_too_few_images_are_an_error_that_says_how_many_it_takes(count: int, most: int) -> None:
    with pytest.raises(SourceError, match=rf"shop\.csv: .* too few.*at least {SMALLEST}"):
        split_rows(apart(count), most=most, test=10, validation=8)


def test_images_that_all_share_a_text_cannot_be_ranked() -> None:
    rows = [(f"p{row}", ("the same",)) for row in range(60)]
    with pytest.raises(SourceError, match="share one product or text"):
        split_rows(Rows(rows), most=1000, test=10, validation=8)


def test_texts_are_chinese_when_most_of_them_are() -> None:
    assert is_chinese(["红色", "a red dress", "连衣裙 dress"])
    assert not is_chinese(["红色", "a red dress"])
    assert not is_chinese([])
