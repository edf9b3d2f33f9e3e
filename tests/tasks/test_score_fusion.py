from __future__ import annotations

import numpy as np
import pytest
import torch
from tests.conftest import tiny_config

from interbert.model import scoring
from interbert.model.modeling import InterBertForImageTextRetrieval
from interbert.model.scoring import dual_matrix, score_matrix
from interbert.tasks.metrics import best_ranks
from interbert.tasks.score_fusion import ScoreFusion, build_in, calibration, fit_both, fit_score_fusion, gain_of_joint

Image = tuple[np.ndarray, np.ndarray]


def model_and_pairs() -> tuple[InterBertForImageTextRetrieval, list[list[int]], list[Image]]:
    torch.manual_seed(0)
    model = InterBertForImageTextRetrieval(tiny_config(contrastive_size=8)).eval()
    generator = np.random.default_rng(1)
    texts = [[1, 5, 9, 2], [1, 7, 2]]
    images = [
        (generator.normal(size=(3, 10)).astype(np.float32), generator.uniform(size=(3, 5)).astype(np.float32))
        for _ in range(3)
    ]
    return model, texts, images


def by_forward(model: InterBertForImageTextRetrieval, text: list[int], image: Image) -> float:
    with torch.no_grad():
        logits = model(
            input_ids=torch.tensor([text]),
            region_features=torch.from_numpy(image[0])[None],
            region_locations=torch.from_numpy(image[1])[None],
        ).logits
    return float(logits[0, 0] - logits[0, 1])


def test_each_part_is_worth_what_it_tells() -> None:
    generator = np.random.default_rng(0)
    relevant = np.arange(16) == generator.integers(0, 16, (300, 1))
    joint = generator.normal(size=relevant.shape) + 2.0 * relevant
    cosines = 0.1 * (generator.normal(size=relevant.shape) + 2.0 * relevant)
    both = fit_score_fusion(joint, cosines, relevant)
    assert both.joint == pytest.approx(0.1 * both.dual, rel=0.3)
    assert both.offset < 0
    alone = best_ranks(joint, relevant)
    mixed = best_ranks(both(joint, cosines), relevant)
    assert (mixed == 1).mean() > (alone == 1).mean() + 0.1


def test_a_part_that_misleads_gets_nothing() -> None:
    generator = np.random.default_rng(1)
    relevant = np.arange(8) == generator.integers(0, 8, (200, 1))
    telling = generator.normal(size=relevant.shape) + 2.0 * relevant
    misleading = generator.normal(size=relevant.shape) - relevant
    assert fit_score_fusion(telling, misleading, relevant).dual == 0.0
    assert fit_score_fusion(misleading, telling, relevant).joint == 0.0
    assert fit_score_fusion(misleading, misleading - relevant, relevant) == ScoreFusion(1.0, 0.0, 0.0)


def test_scores_that_do_not_vary_get_no_weight_and_nothing_is_fitted_where_nothing_can_be_told() -> None:
    generator = np.random.default_rng(3)
    relevant = np.arange(8) == generator.integers(0, 8, (50, 1))
    telling = generator.normal(size=relevant.shape) + 2.0 * relevant
    constant = np.full(relevant.shape, 0.7, dtype=np.float32)
    found = fit_score_fusion(telling, constant, relevant)
    assert found is not None
    assert found.dual == 0.0
    assert found.joint > 1.0
    found = fit_score_fusion(constant, telling, relevant)
    assert found is not None
    assert found.joint == 0.0
    assert fit_score_fusion(constant, constant, relevant) is None
    assert fit_score_fusion(np.full((1, 1), 5.0), np.full((1, 1), 0.3), np.ones((1, 1), dtype=np.bool_)) is None
    assert fit_score_fusion(telling, telling, np.zeros_like(relevant)) is None
    assert np.isfinite(calibration(constant, relevant).offset)


def test_a_model_reads_jointly_only_where_that_is_a_gain_beyond_chance() -> None:
    generator = np.random.default_rng(4)
    relevant = np.arange(16) == generator.integers(0, 16, (300, 1))
    cosines = 0.1 * (generator.normal(size=relevant.shape) + 2.0 * relevant)
    telling, noise = generator.normal(size=relevant.shape) + 2.0 * relevant, generator.normal(size=relevant.shape)
    images = np.arange(300)
    pays, says_nothing = fit_both(telling, cosines, relevant, images), fit_both(noise, cosines, relevant, images)
    assert pays is not None
    assert says_nothing is not None
    assert pays.gain.low > 0
    assert pays.chosen == pays.mixture
    assert says_nothing.gain.low <= 0 <= says_nothing.gain.high
    assert says_nothing.chosen.joint == 0
    assert says_nothing.chosen.dual == pytest.approx(says_nothing.mixture.dual, rel=0.1)
    one = best_ranks(pays.mixture(telling, cosines), relevant)
    assert pays.gain.value == pytest.approx((1 / one - 1 / best_ranks(cosines, relevant)).mean(), abs=0.02)


def test_the_gain_does_not_depend_on_how_texts_of_an_image_alternate() -> None:
    generator = np.random.default_rng(5)
    relevant = np.repeat(np.arange(16) == generator.integers(0, 16, (200, 1)), 2, axis=0)
    cosines = 0.1 * (generator.normal(size=relevant.shape) + 2.0 * relevant)
    joint = generator.normal(size=relevant.shape) + 2.0 * relevant
    joint[1::2] -= 3.0 * relevant[1::2]  # it misleads about every second text, as of one of two columns
    images = np.repeat(np.arange(200), 2)
    order = generator.permutation(400)
    one = gain_of_joint(joint, cosines, relevant, images)
    other = gain_of_joint(joint[order], cosines[order], relevant[order], images[order])
    assert one.value == pytest.approx(other.value, abs=1e-9)
    assert (one.low, one.high) == pytest.approx((other.low, other.high), abs=1e-9)
    # texts of an image are resampled together: as many images, twice the texts
    parts = (joint[::2], cosines[::2], relevant[::2], images[::2])
    single, twice = gain_of_joint(*parts), gain_of_joint(*(np.repeat(part, 2, axis=0) for part in parts))
    assert twice.high - twice.low == pytest.approx(single.high - single.low, rel=0.05)


def test_a_model_that_does_not_read_jointly_scores_without_a_joint_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    model, texts, images = model_and_pairs()
    head = model.matching_head.weight.clone()
    build_in(model, ScoreFusion(0.0, 5.0, -1.5))
    assert torch.equal(model.matching_head.weight, head)
    monkeypatch.setattr(model, "match_embedded", None)
    expected = 5.0 * dual_matrix(model, texts, images, bf16=False) - 1.5
    np.testing.assert_allclose(score_matrix(model, texts, images, bf16=False), expected, atol=1e-5)
    difference = by_forward(model, texts[0], images[2])
    assert difference == pytest.approx(expected[0, 2], abs=1e-4)


def test_calibration_turns_an_order_into_log_odds() -> None:
    generator = np.random.default_rng(2)
    relevant = np.arange(16) == generator.integers(0, 16, (500, 1))
    scores = 30.0 * (generator.normal(size=relevant.shape) + 2.0 * relevant)  # an order with no scale
    found = calibration(scores, relevant)
    odds = found(scores, np.zeros_like(scores))
    probability = 1 / (1 + np.exp(-odds))
    sure = probability > 0.5
    assert relevant[sure].mean() == pytest.approx(probability[sure].mean(), abs=0.05)
    assert relevant[~sure].mean() == pytest.approx(probability[~sure].mean(), abs=0.02)
    wrong_way = calibration(-scores, relevant)
    assert wrong_way.joint == 1.0
    assert abs(wrong_way(-scores, scores).mean()) < 1e-3 * scores.std()


def test_pair_scores_are_the_mixture_and_forward_agrees(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scoring, "cpu_has_bf16", lambda: False)
    model, texts, images = model_and_pairs()
    plain = score_matrix(model, texts, images)
    build_in(model, ScoreFusion(0.5, 5.0, -1.5))
    mixed = score_matrix(model, texts, images)
    np.testing.assert_allclose(mixed, 0.5 * plain + 5.0 * dual_matrix(model, texts, images) - 1.5, atol=1e-4)
    difference = by_forward(model, texts[0], images[2])
    assert abs(difference - mixed[0, 2]) < 1e-4
