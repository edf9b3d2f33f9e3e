import math

import pytest
import torch

from interbert.losses.contrastive import contrastive_loss_from_scores


def by_hand(scores, same=None):
    count = len(scores)
    total = 0.0
    for rows in (scores, scores.T):
        for i in range(count):
            others = [j for j in range(count) if j == i or same is None or not same[i][j]]
            total += math.log(sum(math.exp(rows[i, j]) for j in others)) - float(rows[i, i])
    return total / (2 * count)


def test_it_is_the_mean_cross_entropy_of_rows_and_columns():
    torch.manual_seed(0)
    scores = torch.randn(5, 5) * 3
    assert contrastive_loss_from_scores(scores).item() == pytest.approx(by_hand(scores), abs=1e-5)


def test_pairs_that_share_image_or_text_are_not_negatives():
    torch.manual_seed(1)
    scores = torch.randn(4, 4)
    same = torch.eye(4, dtype=torch.bool)
    same[0, 2] = same[2, 0] = True
    loss = contrastive_loss_from_scores(scores, same).item()
    assert loss == pytest.approx(by_hand(scores, same), abs=1e-5)
    changed = scores.clone()
    changed[0, 2] = changed[2, 0] = 50.0
    assert contrastive_loss_from_scores(changed, same).item() == pytest.approx(loss, abs=1e-6)
    assert contrastive_loss_from_scores(changed).item() > 10


def test_excluded_pairs_get_no_gradient():
    scores = torch.zeros(3, 3, requires_grad=True)
    same = torch.eye(3, dtype=torch.bool)
    same[0, 1] = same[1, 0] = True
    contrastive_loss_from_scores(scores, same).backward()
    assert scores.grad[0, 1] == scores.grad[1, 0] == 0
    assert torch.isfinite(scores.grad).all()
    assert (scores.grad.diagonal() < 0).all()


@pytest.mark.parametrize("count", [2, 7, 64])
def test_a_model_that_knows_nothing_scores_ln_k(count):
    assert contrastive_loss_from_scores(torch.full((count, count), 2.5)).item() == pytest.approx(
        math.log(count), abs=1e-5
    )


@pytest.mark.parametrize("count", [0, 1])
def test_fewer_than_two_pairs_cost_nothing(count):
    scores = torch.ones(count, count, requires_grad=True)
    loss = contrastive_loss_from_scores(scores)
    loss.backward()
    assert loss.item() == 0.0


def test_a_batch_of_one_product_alone_is_finite():
    loss = contrastive_loss_from_scores(torch.randn(3, 3), torch.ones(3, 3, dtype=torch.bool))
    assert loss.item() == pytest.approx(0.0, abs=1e-6)
