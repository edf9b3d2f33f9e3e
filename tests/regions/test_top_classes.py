from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from interbert.losses.pretraining import region_loss
from interbert.regions.conversion import most_probable, spread


def distributions(count: int, classes: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).dirichlet(np.full(classes, 0.1), count).astype(np.float16)


def test_the_most_probable_classes_come_best_first_and_the_rest_is_their_sum() -> None:
    whole = np.array([[0.125, 0.5, 0.0, 0.25, 0.125]], dtype=np.float16)
    ids, shares = most_probable(whole, 2)
    assert ids.tolist() == [[1, 3]]
    assert shares.tolist() == [[0.5, 0.25, 0.25]]
    assert spread(ids, shares, 5).tolist() == [
        [
            pytest.approx(0.25 / 3, rel=1e-3),
            0.5,
            *[pytest.approx(0.25 / 3, rel=1e-3)],
            0.25,
            pytest.approx(0.25 / 3, rel=1e-3),
        ]
    ]


def test_among_equals_the_lower_id_is_kept_on_any_machine() -> None:
    ids, _ = most_probable(np.full((2, 8), 0.125, dtype=np.float16), 3)
    assert ids.tolist() == [[0, 1, 2]] * 2
    ids, _ = most_probable(np.array([[-0.0, 0.0, 1.0]], dtype=np.float16), 2)
    assert ids.tolist() == [[2, 0]]


@given(st.integers(2, 40), st.data())
def test_kept_classes_are_exact_and_the_mass_is_kept(classes: int, data: st.DataObject) -> None:
    k = data.draw(st.integers(1, classes - 1))
    whole = distributions(3, classes, data.draw(st.integers(0, 1000)))
    ids, shares = most_probable(whole, k)
    again = spread(ids, shares, classes)
    np.testing.assert_array_equal(np.take_along_axis(again, ids.astype(int), 1), shares[:, :-1])
    best = -np.sort(-whole.astype(np.float32), axis=1)[:, :k]
    np.testing.assert_array_equal(shares[:, :-1].astype(np.float32), best)
    np.testing.assert_allclose(again.sum(1, dtype=np.float64), whole.sum(1, dtype=np.float64), atol=2e-3)
    assert (again >= 0).all()


def test_a_distribution_whose_tail_is_even_is_kept_whole() -> None:
    whole = np.full((1, 10), 0.05, dtype=np.float16)
    whole[0, 7] = 0.55
    np.testing.assert_allclose(spread(*most_probable(whole, 1), 10), whole, rtol=2e-3)


def test_the_loss_differs_by_a_constant_and_by_how_the_remainder_is_shared_out() -> None:
    """The formula in the module's docstring, and that kept classes have the gradient they had."""
    whole = distributions(6, 50, 3)
    ids, shares = most_probable(whole, 5)
    logits = torch.randn(6, 50, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    p, kept = (torch.from_numpy(one.astype(np.float64)) for one in (whole, spread(ids, shares, 50)))
    entropy = [-(one * one.clamp(min=1e-30).log()).sum() for one in (p, kept)]
    tail = ((p - kept) * logits.log_softmax(-1)).sum()
    losses, gradients = [], []
    for target in (p, kept):
        given_logits = logits.float().requires_grad_()
        loss = region_loss(given_logits, target, "classify") * len(target)
        loss.backward()
        losses.append(loss.item())
        gradients.append(given_logits.grad)
    assert losses[0] - losses[1] == pytest.approx(float(entropy[1] - entropy[0] - tail), abs=1e-2)
    places = torch.from_numpy(ids.astype(np.int64))
    both = [one.gather(1, places) for one in gradients]
    torch.testing.assert_close(both[0], both[1], atol=3e-3, rtol=0)
    assert not torch.allclose(gradients[0], gradients[1], atol=3e-3)
