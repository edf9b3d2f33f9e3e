"""Lists of the nearest images, kept right by what comes and goes, against comparing a query with every image."""

from __future__ import annotations

import math

import numpy as np
import pytest

from interbert.topics.near_lists import NearList, nearest_of, squared_distances
from interbert.topics.refreshing import _within

COUNT, SIZE = 5, 8


def vectors(random: np.random.Generator, count: int) -> np.ndarray:
    found = random.normal(size=(count, SIZE))
    return (found / np.linalg.norm(found, axis=1, keepdims=True)).astype(np.float16)


@pytest.mark.parametrize("seed", range(20))
def test_a_list_knows_the_nearest_after_any_changes_or_says_that_it_does_not(seed: int) -> None:
    random = np.random.default_rng(seed)
    there = dict(enumerate(vectors(random, 60)))
    query = vectors(random, 1)[0].astype(np.float32)
    numbers = np.array(list(there))
    one = nearest_of(numbers, squared_distances(np.stack(list(there.values())), query), math.inf, COUNT + 4)
    assert math.isfinite(one.reach)
    answered = 0
    for step in range(12):
        gone = set(random.choice(list(there), int(random.integers(0, 5)), replace=False).tolist())
        new = {100 * (step + 1) + place: row for place, row in enumerate(vectors(random, int(random.integers(0, 6))))}
        there = {number: row for number, row in there.items() if number not in gone} | new
        stored = np.array(list(new.values()), np.float16).reshape(len(new), SIZE)
        rows, owners, distances = _within(stored, [query], [one.reach])
        assert not owners.any()
        stays = ~np.isin(one.numbers, list(gone))
        one = one.changed(stays, np.array(list(new), np.int64)[rows], distances, COUNT)
        everything = np.array(list(there))
        far = squared_distances(np.stack(list(there.values())), query)
        expected = everything[np.lexsort((everything, far))][:COUNT]
        found = one.first(COUNT)
        if found is not None:
            answered += 1
            assert found.tolist() == expected.tolist(), step
        inside = everything[far < one.reach]
        assert set(inside.tolist()) <= set(one.numbers.tolist()), step
    assert answered > 3


@pytest.mark.parametrize("at_once", [1, 1 << 24])
def test_new_rows_that_are_nearer_than_the_reach_are_all_found(monkeypatch: pytest.MonkeyPatch, at_once: int) -> None:
    monkeypatch.setattr("interbert.topics.refreshing._PRODUCTS_AT_ONCE", at_once)
    monkeypatch.setattr("interbert.topics.refreshing._PAIRS_AT_ONCE", 7)
    random = np.random.default_rng(0)
    stored, queries = vectors(random, 50), vectors(random, 6).astype(np.float32)
    exact = np.stack([squared_distances(stored, query) for query in queries])
    reach = [0.0, math.inf, *(float(np.sort(line)[at]) for line, at in zip(exact[2:], (0, 1, 7, 49), strict=True))]
    rows, owners, distances = _within(stored, list(queries), reach)
    assert [int((owners == place).sum()) for place in range(6)] == [0, 50, 0, 1, 7, 49]
    assert owners.tolist() == sorted(owners)
    assert distances.tolist() == exact[owners, rows].tolist()
    assert (distances < np.array(reach)[owners]).all()


def test_of_equal_distances_one_that_may_be_missing_makes_a_list_unsure() -> None:
    numbers, distances = np.arange(4), np.array([0.1, 0.2, 0.2, 0.3])
    whole = NearList(numbers, distances, math.inf)
    assert whole.first(9) is not None
    cut = nearest_of(numbers, distances, math.inf, 2)
    assert (cut.numbers.tolist(), cut.reach) == ([0, 1], 0.2)
    assert cut.first(2) is None
    assert cut.first(1) is not None
