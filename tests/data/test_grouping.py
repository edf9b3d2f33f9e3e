import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

from interbert.data.texts import joined

keys = st.lists(st.lists(st.integers(0, 12), max_size=3), max_size=15)


def components(rows):
    """Groups by scipy, each named by its first row."""
    links = [(i, j) for i, a in enumerate(rows) for j, b in enumerate(rows) if set(a) & set(b)]
    i, j = np.array(links, dtype=int).reshape(-1, 2).T
    _, labels = connected_components(
        coo_matrix((np.ones(len(i)), (i, j)), shape=(len(rows), len(rows))), directed=False
    )
    return [int(np.flatnonzero(labels == label)[0]) for label in labels]


@settings(deadline=None, max_examples=150)
@given(keys)
def test_groups_are_the_connected_components(rows):
    assert joined(rows) == (components(rows) if rows else [])


def test_a_late_row_joins_two_earlier_groups():
    assert joined([["a"], ["b"], ["c"], ["b", "a"]]) == [0, 0, 2, 0]


def test_rows_without_keys_stay_alone():
    assert joined([[], [], ["a"], ["a"]]) == [0, 1, 2, 2]


def test_a_chain_of_many_rows_is_one_group():
    assert set(joined([[i, i + 1] for i in range(20_000)])) == {0}
