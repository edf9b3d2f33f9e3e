import itertools
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from interbert.data.masking import draw_mismatch
from interbert.data.negatives import hard_share
from interbert.losses.pretraining import MATCH, MISMATCH, baseline_loss, matching_loss


def test_class_zero_means_match():
    assert (MATCH, MISMATCH) == (0, 1)
    sure_of_match = torch.tensor([[20.0, -20.0]])
    assert matching_loss(sure_of_match, torch.tensor([0])).item() == pytest.approx(0.0, abs=1e-6)
    assert matching_loss(sure_of_match, torch.tensor([1])).item() == pytest.approx(40.0)


def test_the_loss_is_the_mean_over_pairs():
    rows, labels = [[0.5, -1.0], [2.0, 0.0], [0.0, 0.0]], [0, 1, 1]
    by_hand = [math.log(math.exp(row[0]) + math.exp(row[1])) - row[k] for row, k in zip(rows, labels, strict=True)]
    loss = matching_loss(torch.tensor(rows), torch.tensor(labels)).item()
    assert loss == pytest.approx(sum(by_hand) / 3, abs=1e-6)


def test_an_empty_batch_costs_nothing():
    assert matching_loss(torch.zeros(0, 2), torch.zeros(0, dtype=torch.long)).item() == 0.0


@pytest.mark.parametrize(("share", "value"), [(0.5, 0.6931), (0.75, 0.5623), (0.0, 0.0), (1.0, 0.0)])
def test_chance_values(share, value):
    assert baseline_loss(share) == pytest.approx(value, abs=1e-4)


def test_the_chance_value_is_the_best_that_constant_logits_reach():
    labels = torch.tensor([0] * 25 + [1] * 75)
    losses = [
        matching_loss(torch.tensor([[bias, 0.0]]).expand(100, 2), labels).item() for bias in np.linspace(-3, 3, 601)
    ]
    assert min(losses) == pytest.approx(baseline_loss(0.75), abs=1e-4)


@pytest.mark.parametrize("probability", [0.0, 0.5, 0.75, 1.0])
def test_mismatches_are_drawn_at_their_share(probability):
    generator = np.random.default_rng(0)
    rate = np.mean([draw_mismatch(generator, probability) for _ in range(4000)])
    assert rate == pytest.approx(probability, abs=0.025 if 0 < probability < 1 else 0)


@settings(deadline=None, max_examples=100)
@given(st.integers(0, 200), st.integers(0, 200), st.floats(0.0, 1.0))
def test_the_hard_share_never_falls_and_ends_at_its_largest(start, rise, largest):
    shares = [hard_share(step, start, start + rise, largest) for step in range(start + rise + 3)]
    assert all(a <= b for a, b in itertools.pairwise(shares))
    assert shares[:start] == [0.0] * start
    assert shares[start + rise :] == [largest] * 3
    assert all(0 <= one <= largest for one in shares)


def test_the_hard_share_rises_evenly():
    shares = [hard_share(step, 10, 14, 0.5) for step in range(9, 16)]
    assert shares == pytest.approx([0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.5])
