"""Texts as topics compare them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from interbert.search.model_files import model_fingerprint
from interbert.search.query_encoder import ProductEncoder
from interbert.search.topics.encoding import encode_titles, encode_wordings
from interbert.search.topics.topic_memory import load_memory


def test_titles_are_encoded_as_the_dual_encoder_does_and_each_once(
    model: Path, float32: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    encoder = ProductEncoder.load(model)
    texts = ["a red circle", "a blue square on white paper", "a red circle", "a green triangle"]
    ids = encoder.processor.texts_to_ids(texts)
    passes: list[int] = []
    plain = encoder.model.interbert.forward

    def counted(input_ids: torch.Tensor, *more: object) -> object:
        passes.append(len(input_ids))
        return plain(input_ids, *more)

    with monkeypatch.context() as patch:
        patch.setattr(encoder.model.interbert, "forward", counted)
        vectors, states = encode_titles(encoder, ids)
    assert passes == [3]
    _, expected = encoder.texts(texts)
    np.testing.assert_allclose(vectors, expected[:, :8], atol=1e-5)
    np.testing.assert_array_equal(states[0], states[2])
    hidden = encoder.model.interbert(torch.tensor([ids[1]])).text_hidden_state[0].mean(dim=0)
    wanted = torch.nn.functional.normalize(hidden, dim=0).detach().numpy()
    np.testing.assert_allclose(states[1], wanted, atol=1e-5)


def test_what_and_joins_is_told_apart_by_the_titles_of_the_examples(taught: Path) -> None:
    encoder, memory = ProductEncoder.load(taught), load_memory(taught, model_fingerprint(taught))
    assert memory is not None
    texts = ["circles and squares", "red circles and blue squares", "圆形与方形", "circles or triangles", "circles"]

    def things(*examples: object) -> list[list[str]]:
        return [[thing.text for thing in one.things] for one in encode_wordings(encoder, texts, *examples)[2]]  # type: ignore[arg-type]

    # one red circle is too few, and the model knows no word of 圆形
    assert things(memory.examples) == [["circles", "squares"], [], [], ["circles", "triangles"], []]
    assert things() == [[]] * 5
    (whole, *_) = encode_wordings(encoder, texts, memory.examples)[2]
    vectors, states = encode_titles(encoder, encoder.processor.texts_to_ids(["circles", "squares"]))
    np.testing.assert_allclose([thing.vector for thing in whole.things], vectors, atol=1e-5)
    np.testing.assert_allclose([thing.sentence for thing in whole.things], states, atol=1e-5)
