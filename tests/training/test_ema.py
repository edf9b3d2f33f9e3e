from __future__ import annotations

import contextlib
from pathlib import Path

import pytest
import torch
from torch import nn

from interbert.training.ema import WeightAverage


def test_the_average_follows_its_formula_with_warm_up() -> None:
    model = nn.Linear(2, 1, bias=False)
    average = WeightAverage(model, 0.9)
    expected = model.weight.detach().clone()
    for step in range(30):
        with torch.no_grad():
            model.weight.add_(1.0)
        average.update()
        decay = min(0.9, (1 + step) / (10 + step))
        expected = decay * expected + (1 - decay) * model.weight.detach()
    with average.applied():
        torch.testing.assert_close(model.weight.detach(), expected)
    assert average.decay_at(0) == pytest.approx(0.1)
    assert average.decay_at(10**6) == 0.9


def test_applying_the_average_gives_the_weights_back_even_after_an_error() -> None:
    model = nn.Linear(2, 1)
    average = WeightAverage(model, 0.5)
    with torch.no_grad():
        model.weight.add_(3.0)
    before = model.weight.detach().clone()
    during = None
    with contextlib.suppress(RuntimeError), average.applied():
        during = model.weight.detach().clone()
        raise RuntimeError
    assert during is not None
    assert not during.equal(before)
    assert model.weight.equal(before)


def test_a_loaded_average_goes_on_as_the_saved_one(tmp_path: Path) -> None:
    model = nn.Linear(3, 2)
    first = WeightAverage(model, 0.99)
    for _ in range(4):
        first.update()
    first.save(tmp_path)
    second = WeightAverage(nn.Linear(3, 2), 0.99)
    second._model = model
    second.load(tmp_path)
    with torch.no_grad():
        model.weight.add_(1.0)
    first.update()
    second.update()
    assert all(map(torch.equal, first._average.module, second._average.module))


def test_without_warm_up_the_first_update_copies_and_the_decay_is_the_same_from_then_on() -> None:
    model = nn.Linear(2, 1, bias=False)
    average = WeightAverage(model, 0.9, warm_up=False)
    for _ in range(3):
        with torch.no_grad():
            model.weight.add_(1.0)
        average.update()
    now = model.weight.detach().clone()
    with average.applied():
        torch.testing.assert_close(model.weight.detach(), now - 1 * 0.9 * 0.1 - 2 * 0.81)
