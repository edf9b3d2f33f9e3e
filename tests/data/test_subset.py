import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from interbert.data.subset import sample_groups


def test_all_are_taken_where_there_are_no_more():
    assert sample_groups(np.array([3, 3, 1]), None, 0).tolist() == [0, 1, 2]
    assert sample_groups(np.array([3, 3, 1]), 3, 0).tolist() == [0, 1, 2]


@settings(deadline=None, max_examples=60)
@given(st.integers(1, 60), st.integers(1, 20), st.integers(1, 30), st.integers(0, 2**32 - 1))
def test_whole_groups_no_more_than_asked_and_equal_for_equal_seeds(items, groups, limit, seed):
    of = np.random.default_rng(seed).integers(0, groups, items)
    chosen = sample_groups(of, limit, seed)
    assert 1 <= len(chosen) <= max(limit, 1)
    assert chosen.tolist() == sorted(set(chosen.tolist())) == sample_groups(of, limit, seed).tolist()
    sizes = np.bincount(of, minlength=groups)
    whole = [np.sum(of[chosen] == group) == sizes[group] for group in set(of[chosen].tolist())]
    assert all(whole) or len(whole) == 1  # a group is cut only when it alone is more than asked for


def test_of_a_sorted_list_every_part_is_drawn_from_and_seeds_draw_differently():
    groups = np.arange(10_000)
    chosen = sample_groups(groups, 500, 0)
    counts, _ = np.histogram(chosen, bins=10, range=(0, 10_000))
    assert counts.sum() == 500
    assert (counts > 25).all()
    assert chosen.tolist() != sample_groups(groups, 500, 1).tolist()


def test_categories_get_their_share():
    categories = np.repeat([0, 1, 2, 3], [700, 200, 90, 10])
    chosen = sample_groups(np.arange(1000), 100, 5, categories=categories)
    assert np.bincount(categories[chosen]).tolist() == pytest.approx([70, 20, 9, 1], abs=1)


@pytest.mark.parametrize("seed", range(8))
def test_one_of_those_that_must_be_there_is(seed):
    wanted = np.arange(400) == 17
    assert 17 in sample_groups(np.arange(400) // 2, 4, seed, first=wanted)
    assert 17 in sample_groups(np.zeros(400, dtype=np.int64), 3, seed, first=wanted)  # of one group that is too large
