"""Texts as topics compare them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from interbert.search.query_encoder import ProductEncoder
from interbert.topics.encoding import encode_titles, encode_wordings
from interbert.topics.recommend import TopicRecommender


def test_titles_are_encoded_as_the_dual_encoder_does(model: Path, float32: None) -> None:
    encoder = ProductEncoder.load(model)
    texts = ["a red circle", "a blue square on white paper", "a red circle", "a green triangle"]
    vectors = encode_titles(encoder, texts)
    np.testing.assert_allclose(vectors, encoder.texts(texts)[1][:, :8], atol=1e-5)
    np.testing.assert_array_equal(vectors[0], vectors[2])


def test_wordings_that_the_model_does_not_know_are_left_out(model: Path) -> None:
    vectors, wordings = encode_wordings(ProductEncoder.load(model), ["圆形", "circles"])
    assert [one.text for one in wordings] == ["circles"]
    assert len(vectors) == 1


@pytest.mark.parametrize("text", ["red circles and blue squares", "red shirts and blue trousers"])
def test_a_topic_is_read_as_it_stands(
    recommender: TopicRecommender, monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    """What stands before the first of two things is not said of the second, nor is either taken apart."""
    read: list[list[str]] = []
    plain = recommender.encoder.texts

    def reading(texts: list[str]) -> object:
        read.append(list(texts))
        return plain(texts)

    monkeypatch.setattr(recommender.encoder, "texts", reading)
    recommender.recommend(text)
    assert read == [[text]]
