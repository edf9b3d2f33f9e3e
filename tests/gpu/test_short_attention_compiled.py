"""The kernels for short sequences as a GPU runs them; tests/model has them interpreted."""

from __future__ import annotations

import pytest
import torch
from tests.model.test_short_attention import expected, starts_of

from interbert.model.short_attention import attend_from_first, attend_within, short_attention_fits


@pytest.mark.parametrize(
    ("lengths", "size"), [([5, 20, 1, 33], 64), ([57] * 40, 64), ([37, 20, 9], 96), ([128, 70], 128)]
)
@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_it_is_attention_and_so_are_its_gradients(
    lengths: list[int], size: int, masked: bool, dtype: torch.dtype
) -> None:
    torch.manual_seed(0)
    starts, longest = starts_of(lengths).cuda(), max(lengths)
    if not short_attention_fits(starts.device, dtype, longest, [size]):
        pytest.skip("this card is too small for blocks of this size")
    mask = None
    if masked:
        mask = torch.rand(sum(lengths), device="cuda") < 0.7
        mask[starts[:-1].long()] = True
    qkv = torch.randn(sum(lengths), 3, 8, size, device="cuda", dtype=dtype, requires_grad=True)
    query = torch.randn(len(lengths), 8, size, device="cuda", dtype=dtype, requires_grad=True)
    kv = torch.randn(sum(lengths), 2, 8, size, device="cuda", dtype=dtype, requires_grad=True)
    for inputs, found, wanted in (
        ((qkv,), attend_within(qkv, starts, longest, mask), expected(*qkv.float().unbind(1), lengths, mask)),
        (
            (query, kv),
            attend_from_first(query, kv, starts, longest, mask),
            expected(query.float(), *kv.float().unbind(1), lengths, mask),
        ),
    ):
        assert (found.float() - wanted).norm() <= 0.01 * wanted.norm()
        gradient = torch.randn_like(wanted)
        ours = torch.autograd.grad(found, inputs, gradient.to(dtype))
        theirs = torch.autograd.grad(wanted, inputs, gradient)
        for one, other in zip(ours, theirs, strict=True):
            assert (one - other).float().norm() <= 0.01 * other.float().norm()


def test_dropout_keeps_its_share_and_the_gradient_knows_what_was_dropped() -> None:
    starts, share = starts_of([40] * 500).cuda(), 0.1
    ones = torch.zeros(20_000, 3, 4, 64, device="cuda", dtype=torch.bfloat16)
    ones[:, 2] = 1.0
    ones.requires_grad_()
    found = attend_within(ones, starts, 40, None, share)
    kept = found[:, :, 0].float()
    assert kept.mean().item() == pytest.approx(1.0, abs=0.005)
    assert kept.std().item() == pytest.approx((share / (1 - share) / 40) ** 0.5, rel=0.1)
    (gradient,) = torch.autograd.grad(found.float().sum(), ones)
    # every value's gradient is the sum of the weights it got, so all together are what all queries got
    torch.testing.assert_close(gradient[:, 2].float().sum(), found.float().sum(), rtol=1e-3, atol=0)
