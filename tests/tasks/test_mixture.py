from __future__ import annotations

import numpy as np
import pytest
import torch
from tests.conftest import tiny_config

from interbert.model import scoring
from interbert.model.retrieval import InterBertForImageTextRetrieval
from interbert.model.scoring import dual_matrix, score_matrix
from interbert.tasks.metrics import best_ranks
from interbert.tasks.mixture import Mixture, build_in, calibration, fit_mixture


def test_each_part_is_worth_what_it_tells() -> None:
    generator = np.random.default_rng(0)
    right = np.arange(16) == generator.integers(0, 16, (300, 1))
    joint = generator.normal(size=right.shape) + 2.0 * right
    cosines = 0.1 * (generator.normal(size=right.shape) + 2.0 * right)
    both = fit_mixture(joint, cosines, right)
    assert both.joint == pytest.approx(0.1 * both.dual, rel=0.3)
    assert both.offset < 0
    alone = best_ranks(joint, right)
    mixed = best_ranks(both(joint, cosines), right)
    assert (mixed == 1).mean() > (alone == 1).mean() + 0.1


def test_a_part_that_misleads_gets_nothing() -> None:
    generator = np.random.default_rng(1)
    right = np.arange(8) == generator.integers(0, 8, (200, 1))
    telling = generator.normal(size=right.shape) + 2.0 * right
    misleading = generator.normal(size=right.shape) - right
    assert fit_mixture(telling, misleading, right).dual == 0.0
    assert fit_mixture(misleading, telling, right).joint == 0.0
    assert fit_mixture(misleading, misleading - right, right) == Mixture(1.0, 0.0, 0.0)


def test_scores_that_do_not_vary_get_no_weight_and_nothing_is_fitted_where_nothing_can_be_told() -> None:
    generator = np.random.default_rng(3)
    right = np.arange(8) == generator.integers(0, 8, (50, 1))
    telling = generator.normal(size=right.shape) + 2.0 * right
    constant = np.full(right.shape, 0.7, dtype=np.float32)
    found = fit_mixture(telling, constant, right)
    assert found is not None
    assert found.dual == 0.0
    assert found.joint > 1.0
    found = fit_mixture(constant, telling, right)
    assert found is not None
    assert found.joint == 0.0
    assert fit_mixture(constant, constant, right) is None
    assert fit_mixture(np.full((1, 1), 5.0), np.full((1, 1), 0.3), np.ones((1, 1), dtype=np.bool_)) is None
    assert fit_mixture(telling, telling, np.zeros_like(right)) is None
    assert np.isfinite(calibration(constant, right).offset)


def test_calibration_turns_an_order_into_log_odds() -> None:
    generator = np.random.default_rng(2)
    right = np.arange(16) == generator.integers(0, 16, (500, 1))
    scores = 30.0 * (generator.normal(size=right.shape) + 2.0 * right)  # an order with no scale
    found = calibration(scores, right)
    odds = found(scores, np.zeros_like(scores))
    probability = 1 / (1 + np.exp(-odds))
    sure = probability > 0.5
    assert right[sure].mean() == pytest.approx(probability[sure].mean(), abs=0.05)
    assert right[~sure].mean() == pytest.approx(probability[~sure].mean(), abs=0.02)
    wrong_way = calibration(-scores, right)
    assert wrong_way.joint == 1.0
    assert abs(wrong_way(-scores, scores).mean()) < 1e-3 * scores.std()


def test_pair_scores_are_the_mixture_and_forward_agrees(monkeypatch: pytest.MonkeyPatch) -> None:
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
    build_in(model, Mixture(0.5, 5.0, -1.5))
    mixed = score_matrix(model, texts, pictures)
    np.testing.assert_allclose(mixed, 0.5 * plain + 5.0 * dual_matrix(model, texts, pictures) - 1.5, atol=1e-4)
    with torch.no_grad():
        logits = model(
            input_ids=torch.tensor([texts[0]]),
            region_features=torch.from_numpy(pictures[2][0])[None],
            region_locations=torch.from_numpy(pictures[2][1])[None],
        ).logits
    assert abs(float(logits[0, 0] - logits[0, 1]) - mixed[0, 2]) < 1e-4
