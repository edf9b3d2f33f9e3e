"""Groups of rows and their splits: what stays together, what stays when rows are added, shares of categories."""

from __future__ import annotations

import numpy as np
import pytest

from interbert.curation.groups import group_rows
from interbert.curation.splits import SPLITS, SplitOptions, category_counts, split_groups
from interbert.errors import ConfigError

TRAIN, VALIDATION, TEST = range(3)


def test_a_group_is_named_by_its_smallest_row() -> None:
    chain, others = np.array([[5, 3], [3, 1]]), np.array([[6, 4], [0, 0]])
    assert group_rows(8, chain, others).tolist() == [0, 1, 2, 1, 4, 1, 4, 7]
    assert group_rows(3).tolist() == [0, 1, 2]
    assert group_rows(0).tolist() == []


def singles(count: int, prefix: str = "row") -> tuple[np.ndarray, list[str]]:
    return np.arange(count), [f"{prefix}{row}" for row in range(count)]


@pytest.mark.parametrize("frozen", [True, False])
def test_no_group_is_in_two_splits(frozen: bool) -> None:
    rng = np.random.default_rng(0)
    groups = group_rows(3000, rng.integers(0, 3000, (1500, 2)))
    categories = rng.choice(["鞋", "包", "表"], 3000).tolist()  # a group has rows of several
    splits = split_groups(groups, singles(3000)[1], categories, SplitOptions(0.6, 0.2, 0.2, frozen=frozen))
    assert splits.dtype == np.int8
    assert splits.tolist() == splits[groups].tolist()
    assert set(splits.tolist()) == {TRAIN, VALIDATION, TEST}


def test_added_rows_move_no_other_group() -> None:
    groups, keys = singles(2000)
    before = split_groups(groups, keys, None, SplitOptions())
    added = np.concatenate([groups, [2000, 7, 2002]])  # the second joins a group that was there
    after = split_groups(added, [*keys, "x", "y", "z"], None, SplitOptions())
    assert after[:2000].tolist() == before.tolist()
    assert after[2001] == before[7]
    in_front = split_groups(np.arange(2001), ["new", *keys], None, SplitOptions())
    assert in_front[1:].tolist() == before.tolist()


def test_another_seed_divides_otherwise_and_larger_shares_keep_what_they_had() -> None:
    groups, keys = singles(2000)
    splits = split_groups(groups, keys, None, SplitOptions(0.8, 0.1, 0.1))
    assert (split_groups(groups, keys, None, SplitOptions(0.8, 0.1, 0.1, seed=1)) != splits).mean() > 0.2
    more_test = split_groups(groups, keys, None, SplitOptions(0.7, 0.1, 0.2))
    assert set(np.flatnonzero(splits == TEST)) < set(np.flatnonzero(more_test == TEST))


def test_every_category_has_its_shares_as_a_draw_has_them() -> None:
    groups, keys = singles(20_000)
    categories = ["large"] * 16_000 + ["middle"] * 3_000 + ["small"] * 1_000
    counts = category_counts(groups, split_groups(groups, keys, categories, SplitOptions(0.8, 0.1, 0.1)), categories)
    assert list(counts) == ["large", "middle", "small"]
    for category, size in (("large", 16_000), ("middle", 3_000), ("small", 1_000)):
        assert sum(counts[category]) == size
        deviation = np.abs(np.array(counts[category]) - np.array([0.8, 0.1, 0.1]) * size)
        assert (deviation <= 4 * np.sqrt(size * np.array([0.16, 0.09, 0.09]))).all(), category


def test_shares_that_are_not_frozen_come_out_to_one_group_in_categories_of_any_size() -> None:
    sizes = {"one": 1, "three": 3, "nine": 9, "ten": 10, "many": 1237}
    categories = [name for name, size in sizes.items() for _ in range(size)]
    groups, keys = singles(len(categories))
    options = SplitOptions(0.8, 0.1, 0.1, frozen=False)
    counts = category_counts(groups, split_groups(groups, keys, categories, options), categories)
    for name, size in sizes.items():
        assert (np.abs(np.array(counts[name]) - np.array([0.8, 0.1, 0.1]) * size) <= 1).all(), counts
    assert counts["ten"] == (8, 1, 1)


def test_a_share_of_nothing_has_no_rows() -> None:
    groups, keys = singles(5000)
    assert set(split_groups(groups, keys, None, SplitOptions(1.0, 0.0, 0.0)).tolist()) == {TRAIN}
    assert set(split_groups(groups, keys, None, SplitOptions(0.0, 0.3, 0.7)).tolist()) == {VALIDATION, TEST}
    assert SPLITS == ("train", "validation", "test")


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"train": 0.9, "validation": 0.2, "test": 0.1}, "sum is 1.2"),
        ({"train": 1.1, "validation": -0.1, "test": 0.0}, "train: 1.1"),
        ({"seed": -1}, "seed: -1"),
    ],
)
def test_impossible_shares_are_named(values: dict[str, float], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        SplitOptions(**values)  # type: ignore[arg-type]
