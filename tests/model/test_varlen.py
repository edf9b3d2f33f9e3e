import inspect
import sys
from types import SimpleNamespace

import pytest
import torch

from interbert.model import varlen
from interbert.model.varlen import Sequences, varlen_kernel

CUDA = torch.device("cuda")


@pytest.fixture
def card(monkeypatch):
    """A CUDA card of our choice; its values may be changed."""
    found = SimpleNamespace(capability=(9, 0), flash=False, built=True)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: found.capability)
    monkeypatch.setattr(torch.version, "hip", None)
    monkeypatch.setattr(torch.backends.cuda, "is_flash_attention_available", lambda: found.built)
    monkeypatch.setattr(varlen, "is_flash_attn_2_available", lambda: found.flash)
    varlen._flash_attn.cache_clear()
    varlen._torch_varlen.cache_clear()
    yield found
    varlen._flash_attn.cache_clear()
    varlen._torch_varlen.cache_clear()


def flash_attn_varlen_func(
    q, k, v, cu_seqlens_q, cu_seqlens_k, max_seqlen_q, max_seqlen_k, dropout_p=0.0, causal=False
):
    return "flash", cu_seqlens_q, cu_seqlens_k, max_seqlen_q, max_seqlen_k, dropout_p, causal


def test_flash_attn_is_taken_where_it_is_installed(card, monkeypatch):
    card.flash = True
    monkeypatch.setitem(sys.modules, "flash_attn", SimpleNamespace(flash_attn_varlen_func=flash_attn_varlen_func))
    chosen = varlen_kernel(CUDA, torch.bfloat16, 0.1, [64])
    starts = torch.tensor([0, 2, 3], dtype=torch.int32)
    row = torch.zeros(3, 1, 8)
    assert Sequences(chosen, starts, 2).attend(row, row, row, False, 0.1) == ("flash", starts, starts, 2, 2, 0.1, False)
    name, queries, keys, *rest = Sequences(chosen, starts, 2).attend(row[:2], row, row, True, 0.0)
    assert (name, queries.tolist(), queries.dtype, keys) == ("flash", [0, 1, 2], torch.int32, starts)
    assert rest == [1, 2, 0.0, False]


@pytest.mark.parametrize("broken", [False, True])
def test_without_flash_attn_pytorch_attends_unless_weights_are_dropped(broken, card, monkeypatch):
    card.flash = broken
    monkeypatch.setitem(sys.modules, "flash_attn", None)
    seen = []
    monkeypatch.setattr("torch.nn.attention.varlen.varlen_attn", lambda *inputs: seen.append(inputs) or torch.ones(1))
    assert varlen_kernel(CUDA, torch.bfloat16, 0.1, [64]) is None
    chosen = varlen_kernel(CUDA, torch.float16, 0.0, [64, 32])
    row = torch.zeros(3, 1, 8)
    starts = torch.tensor([0, 2, 3], dtype=torch.int32)
    assert Sequences(chosen, starts, 2).attend(row, row, row, False, 0.0).tolist() == [1]
    assert seen == [(row, row, row, starts, starts, 2, 2)]
    with pytest.raises(AssertionError, match="drops no weights"):
        Sequences(chosen, starts, 2).attend(row, row, row, False, 0.1)


def test_pytorch_takes_the_inputs_in_our_order():
    function = pytest.importorskip("torch.nn.attention.varlen").varlen_attn
    bound = inspect.signature(function).bind("q", "k", "v", "starts", "starts", 1, 2)
    assert list(bound.arguments) == ["query", "key", "value", "cu_seq_q", "cu_seq_k", "max_q", "max_k"]


@pytest.mark.parametrize(
    "change",
    [
        {"device": torch.device("cpu")},
        {"dtype": torch.float32},
        {"head_sizes": [64, 12]},
        {"head_sizes": [256]},
        {"capability": (7, 5)},
        {"built": False},
        {"hip": "6.4"},
        {"old": True},
    ],
    ids=str,
)
def test_where_there_is_no_kernel_batches_stay_padded(change, card, monkeypatch):
    asked = {"device": CUDA, "dtype": torch.bfloat16, "dropout": 0.0, "head_sizes": [64]}
    assert varlen_kernel(**asked) is not None
    varlen._torch_varlen.cache_clear()
    card.capability = change.get("capability", card.capability)
    card.built = change.get("built", card.built)
    monkeypatch.setattr(torch.version, "hip", change.get("hip"))
    if "old" in change:
        monkeypatch.setitem(sys.modules, "torch.nn.attention.varlen", None)
    assert varlen_kernel(**{name: change.get(name, value) for name, value in asked.items()}) is None
