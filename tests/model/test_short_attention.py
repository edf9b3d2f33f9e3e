"""The kernels for short sequences by Triton's interpreter, so without a GPU; tests/gpu has them compiled."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from tests.conftest import AT_LENGTH, tiny_config
from tests.model.test_modeling import batch
from tests.model.test_packing_for_kernel import (
    contrast_of,
    flat_positions,
    labels_of,
    real_of,
    results,
    steady_config,
    trained,
)
from torch._dynamo.backends.registry import lookup_backend

from interbert.model import modeling, short_attention
from interbert.model.modeling import InterBertForPreTraining, InterBertModel
from interbert.model.short_attention import attend_from_first, attend_within, short_attention_fits

CUDA = torch.device("cuda")


@pytest.fixture
def interpreted():
    """The kernels, run by Triton's interpreter on the CPU, as tests/conftest.py asks for it."""
    pytest.importorskip("triton")
    if os.environ.get("TRITON_INTERPRET") != "1":
        pytest.skip("there is a GPU: tests/gpu has the kernels compiled")
    kernels = short_attention._kernels()
    assert kernels is not None
    return kernels


@pytest.fixture
def taken(interpreted, monkeypatch):
    """Let models take the way of CUDA; returns how many queries every call had."""
    calls = []
    monkeypatch.setattr(modeling, "short_attention_fits", lambda device, dtype, longest, sizes: longest <= 128)
    for name in ("attend_within", "attend_from_first"):
        plain = getattr(short_attention, name)

        def counted(rows, *inputs, plain=plain):
            calls.append(len(rows))
            return plain(rows, *inputs)

        monkeypatch.setattr(f"interbert.model.varlen.{name}", counted)
    return calls


def starts_of(lengths):
    return torch.tensor([0, *torch.tensor(lengths).cumsum(0)], dtype=torch.int32)


def expected(query, key, value, lengths, mask):
    """Every sequence by itself; one query of each when there are as many."""
    first_only = len(query) == len(lengths) < len(key)
    found, at = [], 0
    for number, length in enumerate(lengths):
        part = slice(at, at + length)
        asking = query[number : number + 1] if first_only else query[part]
        scores = torch.einsum("qad,kad->aqk", asking, key[part]) * query.shape[-1] ** -0.5
        if mask is not None:
            scores = scores.masked_fill(~mask[part], -torch.inf)
        found.append(torch.einsum("aqk,kad->qad", scores.softmax(-1), value[part]))
        at += length
    return torch.cat(found)


@pytest.mark.parametrize(("lengths", "size"), [([5, 20, 1, 33], 16), ([57, 57], 24), ([100, 3, 128], 8), ([1, 1], 64)])
@pytest.mark.parametrize("masked", [False, True])
def test_it_is_attention_and_so_are_its_gradients(lengths, size, masked, interpreted):
    torch.manual_seed(0)
    starts, longest = starts_of(lengths), max(lengths)
    mask = None
    if masked:
        mask = torch.rand(sum(lengths)) < 0.7
        mask[starts[:-1].long()] = True
    qkv = torch.randn(sum(lengths), 3, 2, size, requires_grad=True)
    query = torch.randn(len(lengths), 2, size, requires_grad=True)
    kv = torch.randn(sum(lengths), 2, 2, size, requires_grad=True)
    for inputs, found, wanted in (
        ((qkv,), attend_within(qkv, starts, longest, mask), expected(*qkv.unbind(1), lengths, mask)),
        (
            (query, kv),
            attend_from_first(query, kv, starts, longest, mask),
            expected(query, *kv.unbind(1), lengths, mask),
        ),
    ):
        torch.testing.assert_close(found, wanted, rtol=1e-5, atol=1e-6)
        gradient = torch.randn_like(found)
        ours, theirs = (torch.autograd.grad(one, inputs, gradient) for one in (found, wanted))
        for one, other in zip(ours, theirs, strict=True):
            torch.testing.assert_close(one, other, rtol=1e-5, atol=2e-6)


def test_a_sequence_without_anything_to_attend_to_gets_zeros(interpreted):
    qkv = torch.randn(5, 3, 1, 16, requires_grad=True)
    found = attend_within(qkv, starts_of([2, 3]), 3, torch.tensor([False, False, True, True, False]))
    assert not found[:2].any()
    assert found[2:].any()
    found.sum().backward()
    assert qkv.grad.isfinite().all()


def test_dropout_keeps_its_share_and_the_gradient_knows_what_was_dropped(interpreted):
    starts, share = starts_of([40] * 50), 0.1
    ones = torch.zeros(2000, 3, 2, 16)
    ones[:, 2] = 1.0
    torch.manual_seed(1)
    kept = attend_within(ones, starts, 40, None, share)[:, :, 0]
    assert kept.mean() == pytest.approx(1.0, abs=0.005)  # 4000 means of 40 weights: deviation 0.0008
    assert kept.std() == pytest.approx((share / (1 - share) / 40) ** 0.5, rel=0.1)
    # neither rows nor heads are alike
    assert torch.corrcoef(torch.stack([kept[1:].mT.flatten(), kept[:-1].mT.flatten()]))[0, 1].abs() < 0.1
    assert torch.corrcoef(kept.mT)[0, 1].abs() < 0.1
    again = attend_within(ones, starts, 40, None, share)[:, :, 0]
    assert torch.corrcoef(torch.stack([kept.flatten(), again.flatten()]))[0, 1].abs() < 0.1
    qkv = torch.randn(60, 3, 2, 16, requires_grad=True)
    step, gradient, starts = torch.randn_like(qkv), torch.randn(60, 2, 16), starts_of([20, 40])

    def output(inputs):
        torch.manual_seed(2)
        return attend_within(inputs, starts, 40, None, share)

    (found,) = torch.autograd.grad(output(qkv), qkv, gradient)
    with torch.no_grad():
        rise = ((output(qkv + 1e-3 * step) - output(qkv - 1e-3 * step)) * gradient).sum() / 2e-3
    assert (found * step).sum() == pytest.approx(rise.item(), rel=2e-3)


@pytest.mark.parametrize("packed", [False, True])
def test_pretraining_gets_the_losses_and_gradients_of_plain_attention(packed, taken):
    torch.manual_seed(0)
    config = steady_config(contrastive_size=8)
    model = InterBertForPreTraining._from_config(config, attn_implementation="sdpa").train()
    inputs = batch()
    inputs |= labels_of(inputs) | contrast_of(inputs)
    real = real_of(inputs) | {"contrast_real_tokens": flat_positions(inputs["contrast_attention_mask"])}
    losses, gradients = results(trained(model), inputs | (real if packed else {}))
    rows = int(inputs["attention_mask"].sum() + inputs["region_mask"].sum()) if packed else 3 * (8 + 6)
    assert taken[0] == rows
    assert taken.count(3) == 2  # the contrast reads first tokens alone
    model.config._attn_implementation = "eager"
    taken.clear()
    plain_losses, plain_gradients = results(trained(model), inputs)
    assert not taken
    torch.testing.assert_close(losses, plain_losses, rtol=1e-5, atol=1e-5)
    assert (gradients - plain_gradients).norm() <= 1e-5 * plain_gradients.norm()


def test_hidden_states_are_the_same_and_holes_are_not_attended_to(taken):
    torch.manual_seed(0)
    model = InterBertModel._from_config(tiny_config(), attn_implementation="sdpa").eval()
    inputs = batch()
    inputs["attention_mask"][:, 1] = 0
    inputs["region_mask"][1] = torch.tensor([1, 0, 0, 0, 1, 1])
    with torch.no_grad():
        found = model(**inputs)
        model.config._attn_implementation = "eager"
        wanted = model(**inputs)
    for name in ("text_hidden_state", "image_hidden_state"):
        real = inputs["attention_mask" if "text" in name else "region_mask"].bool()
        torch.testing.assert_close(found[name][real], wanted[name][real], rtol=0, atol=1e-5)


def test_what_stands_in_for_a_linear_map_is_asked(taken):
    """An adapter or a quantised layer in place of ``query`` is not passed over."""

    class Doubled(torch.nn.Module):
        def __init__(self, plain):
            super().__init__()
            self.plain = plain

        def forward(self, rows):
            return 2 * self.plain(rows)

    torch.manual_seed(0)
    model = InterBertModel._from_config(tiny_config(), attn_implementation="sdpa").eval()
    for module in model.modules():
        if isinstance(module, modeling.SelfAttention):
            module.query = Doubled(module.query)
    with torch.no_grad():
        found = model(**batch(), pooled_only=True)
        assert taken
        model.config._attn_implementation = "eager"
        wanted = model(**batch(), pooled_only=True)
    torch.testing.assert_close(found.text_pooled, wanted.text_pooled, rtol=0, atol=1e-5)


@AT_LENGTH
def test_it_is_traced_in_one_piece(taken):
    torch.manual_seed(0)
    config = steady_config()
    model = InterBertForPreTraining._from_config(config, attn_implementation="sdpa").train()
    inputs = batch()
    inputs |= labels_of(inputs)
    losses, gradients = results(trained(model), inputs)
    compiled, compiled_gradients = results(torch.compile(trained(model), backend="aot_eager", fullgraph=True), inputs)
    torch.testing.assert_close(compiled["loss"], losses["loss"], rtol=1e-5, atol=1e-5)
    assert (compiled_gradients - gradients).norm() <= 1e-5 * gradients.norm()


@AT_LENGTH
def test_a_compiled_model_computes_no_padding_and_is_not_made_anew_for_every_batch(taken):
    torch.manual_seed(0)
    torch.compiler.reset()
    model = InterBertForPreTraining._from_config(steady_config(), attn_implementation="sdpa").train()
    graphs = []

    def backend(graph, inputs):
        graphs.append(graph)
        return lookup_backend("aot_eager")(graph, inputs)

    compiled = torch.compile(trained(model), backend=backend, fullgraph=True)
    padding = [(1, 1), (2, 3), (1, 2), (3, 2), (4, 1), (5, 4)]
    rows = set()
    for number, (no_pieces, no_regions) in enumerate(padding):
        inputs = batch()
        for mask in ("attention_mask", "region_mask"):
            inputs[mask].fill_(1)
        inputs["attention_mask"][number % 3, 8 - no_pieces :] = 0
        inputs["region_mask"][(number + 1) % 3, 6 - no_regions :] = 0
        inputs |= labels_of(inputs) | real_of(inputs)
        losses, gradients = results(trained(model), inputs)
        taken.clear()
        compiled_losses, compiled_gradients = results(compiled, inputs)
        rows.add(taken[0])
        assert taken[0] == inputs["attention_mask"].sum() + inputs["region_mask"].sum()
        torch.testing.assert_close(compiled_losses["loss"], losses["loss"], rtol=1e-5, atol=1e-5)
        assert (compiled_gradients - gradients).norm() <= 1e-5 * gradients.norm()
    assert len(rows) == 4
    assert len(graphs) == 2  # the second for any number of rows


CPU = torch.device("cpu")


def test_the_kernels_are_tried_before_they_are_used(interpreted, monkeypatch):
    short_attention._works.cache_clear()
    assert short_attention._works(CPU, torch.float32)
    plain = interpreted.backward

    def wrong(gradient, *inputs):
        plain(gradient * 1.1, *inputs)

    def no_compiler(*inputs):
        raise RuntimeError("Failed to find C compiler. Please specify via CC environment variable.")

    for broken, reason in ((wrong, "its results are wrong"), (no_compiler, "Failed to find C compiler")):
        short_attention._works.cache_clear()
        monkeypatch.setattr(interpreted, "backward", broken)
        with pytest.warns(UserWarning, match=f"cannot be used here .{reason}.*INTERBERT_SHORT_ATTENTION=0"):
            assert not short_attention._works(CPU, torch.float32)
    short_attention._works.cache_clear()


@pytest.mark.parametrize(
    "change",
    [
        {"device": torch.device("cpu")},
        {"dtype": torch.float32},
        {"head_sizes": [64, 12]},
        {"head_sizes": [256]},
        {"longest": 129},
        {"capability": (7, 5)},
        {"hip": "6.4"},
        {"switch": "0"},
        {"works": False},
        {},
    ],
)
def test_where_it_fits(change, monkeypatch):
    pytest.importorskip("triton")
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: change.get("capability", (9, 0)))
    monkeypatch.setattr(short_attention, "_has_room", lambda device: True)
    monkeypatch.setattr(torch.version, "hip", change.get("hip"))
    monkeypatch.setenv(short_attention.SWITCH, change.get("switch", "1"))
    monkeypatch.setattr(short_attention, "_works", lambda device, dtype: change.get("works", True))
    short_attention._kernels.cache_clear()
    asked = {"device": CUDA, "dtype": torch.bfloat16, "longest": 128, "head_sizes": [64, 96]}
    asked |= {name: value for name, value in change.items() if name in asked}
    assert short_attention_fits(**asked) == (not change)
    short_attention._kernels.cache_clear()


def test_a_compiled_model_asks_in_one_piece_and_tries_nothing(monkeypatch):
    pytest.importorskip("triton")
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (9, 0))
    monkeypatch.setattr(short_attention, "_works", lambda device, dtype: 1 / 0)

    def fits(number):
        return number + 1 if short_attention_fits(CUDA, torch.bfloat16, 57, [64, 96]) else number

    assert torch.compile(fits, backend="eager", fullgraph=True)(torch.ones(1)) == 2


@AT_LENGTH
def test_every_kernel_fits_the_cards_that_it_is_used_on():
    """Compiled as for cards of 99 and 227 KiB of shared memory, an A10's and an H200's, by what Triton brings along."""
    pytest.importorskip("triton")
    script = Path(__file__).parents[2] / "benchmarks" / "short_attention.py"
    words, compiled = [sys.executable, str(script), "--build", "86", "90"], os.environ | {"TRITON_INTERPRET": "0"}
    run = subprocess.run(words, capture_output=True, text=True, env=compiled, timeout=300)
    assert run.returncode == 0, run.stderr
    table = json.loads(run.stdout.splitlines()[-1])
    assert len(table) == 20
    small = 99 * 2**10
    too_large = {name for name, taken in table.items() if taken["shared"] > small}
    assert too_large == {"86 backward 128 128", "90 backward 128 128"}
    assert max(taken["shared"] for taken in table.values()) == short_attention.ROOM
    assert not [name for name, taken in table.items() if name.startswith("90") and taken["spilled"]]
    assert max(taken["spilled"] for taken in table.values()) < 100


@pytest.mark.parametrize(("longest", "size", "fits"), [(64, 128, True), (65, 64, True), (65, 72, False)])
def test_a_card_of_little_memory_takes_no_large_blocks(longest, size, fits, monkeypatch):
    pytest.importorskip("triton")
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (8, 6))
    little = SimpleNamespace(shared_memory_per_block_optin=99 * 2**10)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda device: little)
    monkeypatch.setattr(short_attention, "_works", lambda device, dtype: True)
    assert short_attention_fits(CUDA, torch.bfloat16, longest, [64, size]) == fits
