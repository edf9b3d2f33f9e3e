"""Dropout by a hash, which models compiled for CUDA use and here runs as plain operations; and by a CPU's draws."""

from __future__ import annotations

import pytest
import torch
from tests.conftest import tiny_config
from tests.model.test_modeling import batch
from tests.model.test_packing import labels_of
from torch import nn

from interbert.model import dropout
from interbert.model.dropout import Dropout, drawn_dropout, hashed_dropout
from interbert.model.modeling import InterBertForPreTraining

SHARE = 0.1


@pytest.fixture
def fused(monkeypatch):
    """As if a compiler fused what is done; returns the number of elements of every call."""
    calls = []

    def hashed(values, share):
        calls.append(values.numel())
        return hashed_dropout(values, share)

    monkeypatch.setattr(dropout, "_is_fused", lambda device, elements: True)
    monkeypatch.setattr(dropout, "hashed_dropout", hashed)
    return calls


@pytest.mark.parametrize("drop", [hashed_dropout, drawn_dropout])
def test_its_share_is_dropped_and_the_mean_stays(drop):
    torch.manual_seed(0)
    found = drop(torch.ones(1000, 768), SHARE)
    assert found.unique().tolist() == pytest.approx([0.0, 1 / (1 - SHARE)])
    deviation = (SHARE * (1 - SHARE)) ** 0.5
    assert (found == 0).float().mean() == pytest.approx(SHARE, abs=5 * deviation / 768_000**0.5)
    # of each row and column too, as far as chance goes
    for axis, number in ((0, 1000), (1, 768)):
        shares = (found == 0).float().mean(axis)
        assert shares.std() == pytest.approx(deviation / number**0.5, rel=0.15)
    assert drop(torch.ones(100_000), 0.5).eq(0).float().mean() == pytest.approx(0.5, abs=0.008)


@pytest.mark.parametrize("drop", [hashed_dropout, drawn_dropout])
def test_no_two_elements_rows_or_calls_are_alike(drop):
    torch.manual_seed(0)
    calls = [drop(torch.ones(1000, 768), SHARE) for _ in range(2)]
    (one, other), bound = calls, 5 / 768_000**0.5
    pairs = {"calls": (one, other), "rows": (one[1:], one[:-1]), "columns": (one[:, 1:], one[:, :-1])}
    for bit in (2, 7, 64, 512):
        pairs[f"places {bit} apart"] = (one.flatten()[bit:], one.flatten()[:-bit])
    for name, (left, right) in pairs.items():
        alike = torch.corrcoef(torch.stack([left.flatten(), right.flatten()]))[0, 1]
        assert abs(alike) < bound, name


@pytest.mark.parametrize("drop", [hashed_dropout, drawn_dropout])
def test_the_generator_says_what_is_dropped_and_gradients_know_it(drop):
    values = torch.randn(40, 30, dtype=torch.double, requires_grad=True)

    def seeded(inputs):
        torch.manual_seed(3)
        return drop(inputs, 0.3)

    assert torch.equal(seeded(values), seeded(values))
    assert torch.autograd.gradcheck(seeded, (values,))
    assert drop(torch.ones(10, dtype=torch.bfloat16), 0.3).dtype == torch.bfloat16


def test_where_it_is_used(monkeypatch):
    module, values = Dropout(SHARE), torch.randn(50, 20)
    torch.manual_seed(0)
    plain = nn.functional.dropout(values, SHARE)
    torch.manual_seed(0)
    assert torch.equal(torch.compile(module, backend="eager", fullgraph=True)(values), plain)  # PyTorch's, as ever
    torch.manual_seed(0)
    drawn = drawn_dropout(values, SHARE)
    torch.manual_seed(0)
    assert torch.equal(module(values), drawn)  # on a CPU, not compiled
    monkeypatch.setattr(dropout, "_is_fused", lambda device, elements: True)
    torch.manual_seed(0)
    hashed = hashed_dropout(values, SHARE)
    torch.manual_seed(0)
    assert torch.equal(torch.compile(module, backend="aot_eager", fullgraph=True)(values), hashed)
    assert torch.equal(module.eval()(values), values)
    for share, wanted in ((0.0, values), (1.0, torch.zeros_like(values))):
        assert torch.equal(Dropout(share)(values), wanted)


def test_a_compiler_for_cuda_is_asked_in_one_piece():
    def is_fused(number):
        return number + 1 if dropout._is_fused(torch.device("cuda"), 2**31 - 1) else number

    compiled = torch.compile(is_fused, backend="eager", fullgraph=True)
    assert [is_fused(torch.ones(1)), compiled(torch.ones(1))] == [1, 2]
    assert not torch.compile(lambda: dropout._is_fused(torch.device("cuda"), 2**31), backend="eager")()


def test_a_model_in_training_uses_it_everywhere(fused):
    torch.manual_seed(0)
    config = tiny_config(hidden_dropout_prob=0.2, image_hidden_dropout_prob=0.2, fusion_dropout_prob=0.2)
    model = InterBertForPreTraining(config).train()
    inputs = batch()
    inputs |= labels_of(inputs)
    model(**inputs).loss.backward()
    layers = config.num_interaction_layers + config.num_text_layers + config.num_image_layers
    assert len(fused) == 2 * layers + 2 + 1  # two of each layer, of each side's embeddings, before the matching head
    assert all(one.grad.isfinite().all() for one in model.parameters() if one.grad is not None)
    model.eval()
    fused.clear()
    with torch.no_grad():
        model(**inputs)
    assert not fused
