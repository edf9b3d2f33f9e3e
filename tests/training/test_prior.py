from __future__ import annotations

import numpy as np
import pytest
import torch
from tests.conftest import tiny_config

from interbert.model import scoring
from interbert.model.modeling import InterBertForImageTextRetrieval
from interbert.model.scoring import dual_matrix, score_matrix
from interbert.training.prior import fit_prior, set_prior


def test_a_telling_cosine_is_worth_much_and_a_blind_one_nothing() -> None:
    generator = np.random.default_rng(0)
    noise = generator.normal(size=(200, 200))
    relevant = np.eye(200, dtype=bool)
    weight, offset = fit_prior(noise + 4.0 * relevant, relevant)
    assert weight > 1
    assert offset < 0
    blind, _ = fit_prior(generator.uniform(size=(200, 200)) - relevant, relevant)
    assert blind == 0.0


def test_pair_scores_hold_the_prior_and_forward_agrees(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scoring, "cpu_has_bf16", lambda: False)
    torch.manual_seed(0)
    model = InterBertForImageTextRetrieval(tiny_config(contrastive_size=8)).eval()
    generator = np.random.default_rng(1)
    texts = [[1, 5, 9, 2], [1, 7, 2]]
    pictures = [
        (generator.normal(size=(3, 10)).astype(np.float32), generator.uniform(size=(3, 5)).astype(np.float32))
        for _ in range(3)
    ]
    plain = score_matrix(model, texts, pictures)
    set_prior(model, 5.0, -1.5)
    with_prior = score_matrix(model, texts, pictures)
    np.testing.assert_allclose(with_prior, plain + 5.0 * dual_matrix(model, texts, pictures) - 1.5, atol=1e-4)
    with torch.no_grad():
        logits = model(
            input_ids=torch.tensor([texts[0]]),
            region_features=torch.from_numpy(pictures[2][0])[None],
            region_locations=torch.from_numpy(pictures[2][1])[None],
        ).logits
    assert abs(float(logits[0, 0] - logits[0, 1]) - with_prior[0, 2]) < 1e-4
