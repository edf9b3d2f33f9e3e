from __future__ import annotations

import numpy as np
import pytest

from interbert.errors import VectorIndexError
from interbert.search.ann_parameters import INDEX_FROM, needs_probing, partitions_for, probing
from interbert.search.hits import deduplicated, reciprocal_ranks, standardised
from interbert.search.vectors import (
    TokenQuantisation,
    decode_tokens,
    encode_tokens,
    from_stored,
    rotation,
    stored_size,
    to_query,
    to_stored,
)


@pytest.mark.parametrize(("token_quantisation", "size", "error"), [("int8", 5 * 26, 1 / 127), ("fp16", 5 * 48, 1e-3)])
def test_tokens_come_back_nearly_the_same_in_few_bytes(
    token_quantisation: TokenQuantisation, size: int, error: float
) -> None:
    tokens = np.random.default_rng(0).normal(size=(5, 24)).astype(np.float32) * 3
    data = encode_tokens(tokens, token_quantisation)
    assert len(data) == size
    back = decode_tokens(data, 24, token_quantisation, "x")
    assert back.dtype == np.float32
    assert np.abs(back - tokens).max() <= error * np.abs(tokens).max()
    assert np.abs(back - tokens).max() > 0


def test_zeros_stay_zeros() -> None:
    assert not decode_tokens(encode_tokens(np.zeros((2, 8), np.float32), "int8"), 8, "int8", "x").any()


@pytest.mark.parametrize("data", [b"", b"abc"])
def test_damaged_bytes_are_named(data: bytes) -> None:
    with pytest.raises(VectorIndexError, match="image 7: its regions are damaged"):
        decode_tokens(data, 24, "int8", "image 7")


@pytest.mark.parametrize("token_quantisation", ["fp16", "int8"])
def test_numbers_that_are_not_finite_are_told(token_quantisation: TokenQuantisation) -> None:
    data = encode_tokens(np.ones((3, 8), np.float32), token_quantisation)
    with pytest.raises(VectorIndexError, match="image 7: its regions are damaged \\(they are not finite"):
        decode_tokens(np.float16(np.nan).tobytes() + data[2:], 8, token_quantisation, "image 7")


def test_the_nearest_stored_vectors_have_the_largest_inner_products() -> None:
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(200, 20)).astype(np.float32) * rng.uniform(0.1, 2, size=(200, 1)).astype(np.float32)
    size = stored_size(20)
    assert size == 32
    np.testing.assert_allclose(rotation(size) @ rotation(size).T, np.eye(size), atol=1e-5)
    largest = float(np.linalg.norm(vectors, axis=1).max())
    stored = to_stored(vectors, size, largest)
    np.testing.assert_allclose(np.linalg.norm(stored, axis=1), largest, rtol=1e-5)
    np.testing.assert_allclose(from_stored(stored, 20), vectors, atol=1e-4)
    vector = rng.normal(size=20).astype(np.float32)
    by_distance = np.argsort(((stored - to_query(vector, size, largest)) ** 2).sum(axis=1))
    assert by_distance.tolist() == np.argsort(-(vectors @ vector)).tolist()
    assert by_distance.tolist() != np.argsort(((vectors - vector) ** 2).sum(axis=1)).tolist()


def test_small_catalogues_and_narrow_filters_are_searched_exactly() -> None:
    assert not needs_probing(INDEX_FROM)
    assert needs_probing(10**6)
    wide, narrow = probing(500, 10**6), probing(500, 10**5)
    assert wide.partitions is not None
    assert narrow.partitions is not None
    assert wide.partitions < narrow.partitions <= partitions_for(10**6)


def test_reciprocal_ranks_favour_what_both_orders_have() -> None:
    fused = reciprocal_ranks(np.array([3.0, 2.0, 1.0]), [None, 1, 0])
    assert fused.tolist() == [1 / 61, 1 / 62 + 1 / 62, 1 / 63 + 1 / 61]
    assert np.argmax(fused) in (1, 2)


def test_standardised_scores_have_one_scale_and_equal_ones_none() -> None:
    scores = standardised(np.array([1.0, 2.0, 6.0]))
    assert abs(scores.mean()) < 1e-9
    assert scores.std() == pytest.approx(1)
    assert not standardised(np.array([2.0, 2.0])).any()


def test_near_duplicates_join_the_first_of_them() -> None:
    a, b = np.array([1.0, 0, 9]), np.array([0, 1.0, -9])
    near = np.array([1.0, 0.01, -9])
    assert deduplicated([a, b, near, b], 2, 0.99) == [[0, 2], [1, 3]]
    assert deduplicated([a, b, near], 2, None) == [[0], [1], [2]]
    assert deduplicated([], 2, 0.99) == []
