import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from interbert.data.texts import FlatIds, FlatTexts, in_blocks

some_texts = st.lists(st.text(max_size=12), max_size=12)


@given(some_texts)
def test_packed_texts_read_like_a_tuple(texts):
    packed = FlatTexts(texts)
    assert packed == tuple(texts)
    assert len(packed) == len(texts)
    assert list(packed) == texts
    assert packed[1:4] == tuple(texts[1:4])
    assert pickle.loads(pickle.dumps(packed)) == texts
    if texts:
        assert packed[-1] == texts[-1]
        assert packed.chosen([len(texts) - 1, 0]) == [texts[-1], texts[0]]
        assert packed != [*texts[:-1], texts[-1] + "x"]
    with pytest.raises(IndexError):
        packed[len(texts)]


@given(st.lists(st.lists(st.integers(0, 40_000), min_size=1, max_size=6), max_size=10), st.integers(1, 4))
def test_packed_ids_read_like_a_list_of_arrays(ids, size):
    packed = FlatIds(in_blocks(ids, size))
    assert [one.tolist() for one in packed] == ids
    assert packed.lengths.tolist() == [len(one) for one in ids]
    assert packed.flat.tolist() == [token for one in ids for token in one]
    assert all(one.dtype == np.int64 for one in packed)
