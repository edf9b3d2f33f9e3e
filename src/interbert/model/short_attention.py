"""Attention of sequences so short that one block of a GPU holds all of one's keys.

InterBERT's sequences are: 36 regions and 20 tokens make 57 tokens. Kernels for long sequences read them in tiles made
for thousands, and leave most of each tile empty. Here one program attends within one sequence for one head: every key
and value is read once, softmax needs no second pass, and the backward pass computes the weights again instead of
reading them. Dropout of weights, masks of padded batches and packed sequences are all the same to it. The gradients of
query, key and value go into one tensor, as one linear map gave the three.

Written in Triton, which comes with PyTorch's builds for CUDA, and tried before it is used.

Shapes: B sequences, N tokens of all of them, L of the longest, A heads, D head size.
"""

from __future__ import annotations

import functools
import os
import warnings
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from interbert.errors import first_line
from interbert.model.dropout import call_seed

if TYPE_CHECKING:
    from types import ModuleType

SWITCH = "INTERBERT_SHORT_ATTENTION"
"""Environment variable; 0 leaves attention to PyTorch."""
LONGEST = 128
"""Longer sequences do not fit."""
_HEAD_STEP, _LEAST_HEAD, _LARGEST_HEAD = 8, 16, 128
_OLDEST = (8, 0)
"""Compute capability (Ampere): bfloat16 in the matrix units."""
ROOM = 112 * 2**10
"""Bytes of shared memory that the largest block takes, of long sequences with large heads; many cards have 99 KiB."""


def short_attention_fits(device: torch.device, dtype: torch.dtype, longest: int, head_sizes: Iterable[int]) -> bool:
    """Whether :func:`attend_within` and :func:`attend_from_first` can be used.

    Args:
        device: of the tokens.
        dtype: of queries, keys and values.
        longest: sequence of the batch.
        head_sizes: of all layers.
    """
    head_sizes = list(head_sizes)
    if longest > LONGEST or not card_fits(device, dtype, head_sizes, _LARGEST_HEAD):
        return False
    if longest > LONGEST // 2 and max(head_sizes) > _LARGEST_HEAD // 2 and not _has_room(device):
        return False
    usable: bool = _usable(device, dtype, not torch.compiler.is_compiling())
    return usable


def card_fits(device: torch.device, dtype: torch.dtype, head_sizes: Iterable[int], largest: int) -> bool:
    """Whether attention kernels with these limits can run: on CUDA, in 16 bits, on a card that multiplies bfloat16.

    Args:
        device: of the tokens.
        dtype: of queries, keys and values.
        head_sizes: of all layers.
        largest: head size that a kernel takes.
    """
    fits = all(size % _HEAD_STEP == 0 and size <= largest for size in head_sizes)
    return fits and device.type == "cuda" and dtype in (torch.bfloat16, torch.float16) and bool(_is_new(device))


@torch.compiler.assume_constant_result  # type: ignore[untyped-decorator]
def _is_new(device: torch.device) -> bool:
    return torch.version.hip is None and torch.cuda.get_device_capability(device) >= _OLDEST


@torch.compiler.assume_constant_result  # type: ignore[untyped-decorator]
def _has_room(device: torch.device) -> bool:
    card: Any = torch.cuda.get_device_properties(device)
    return bool(card.shared_memory_per_block_optin >= ROOM)


@torch.compiler.assume_constant_result  # type: ignore[untyped-decorator]
def _usable(device: torch.device, dtype: torch.dtype, tried: bool) -> bool:
    """Whether the kernels are there; with ``tried`` they have shown that they run on this device."""
    return _kernels() is not None and (not tried or _works(device, dtype))


@functools.cache
def _works(device: torch.device, dtype: torch.dtype) -> bool:
    """Try the kernels once: Triton needs a C compiler, which not every machine with a GPU has."""
    problem = "its results are wrong"
    try:
        with torch.inference_mode(mode=False), torch.no_grad(), torch.autocast(device.type, enabled=False):
            generator = torch.Generator().manual_seed(0)
            qkv = torch.randn(5, 3, 1, _LEAST_HEAD, generator=generator).to(device, dtype)
            starts = torch.tensor([0, 5], dtype=torch.int32, device=device)
            gradient = torch.randn(5, 1, _LEAST_HEAD, generator=generator).to(device, dtype)
            found = _attend_within(qkv, starts, 5, None, 0.0, None)
            of_qkv = _attend_within_backward(gradient, qkv, starts, 5, None, 0.0, None)
        plain = qkv.float().requires_grad_()
        with torch.enable_grad():
            query, key, value = plain.unbind(1)
            weights = (torch.einsum("qad,kad->aqk", query, key) * _LEAST_HEAD**-0.5).softmax(dim=-1)
            wanted = torch.einsum("aqk,kad->qad", weights, value)
            (of_plain,) = torch.autograd.grad(wanted, plain, gradient.float())
        if all(
            bool((one.float() - other).norm() <= 0.02 * other.norm())
            for one, other in ((found, wanted.detach()), (of_qkv, of_plain))
        ):
            return True
    except Exception as error:  # whatever a compiler, a driver or a Triton of another version makes of it
        problem = first_line(error)
    warnings.warn(
        f"the attention kernels for short sequences cannot be used here ({problem}): PyTorch's attend, and training is "
        f"slower. {SWITCH}=0 does without them silently.",
        stacklevel=2,
    )
    return False


def attend_within(
    qkv: Tensor, starts: Tensor, longest: int, mask: Tensor | None = None, dropout: float = 0.0
) -> Tensor:
    """Softmax attention of every token to all tokens of its sequence, scaled by 1/sqrt(D).

    Args:
        qkv: [N,3,A,D], query, key and value of each token.
        starts: int32 [B+1], row where each sequence starts, and N.
        longest: no sequence is longer; at most ``LONGEST``.
        mask: bool [N], True where a token is attended to; None: everywhere.
        dropout: share of the weights that is dropped.

    Returns:
        [N,A,D].
    """
    found: Tensor = _attend_within(qkv, starts, longest, mask, dropout, _seed(qkv, dropout))
    return found


def attend_from_first(
    query: Tensor, kv: Tensor, starts: Tensor, longest: int, mask: Tensor | None = None, dropout: float = 0.0
) -> Tensor:
    """The same from one query of each sequence: [B,A,D] and keys and values [N,2,A,D] -> [B,A,D]."""
    found: Tensor = _attend_from_first(query, kv, starts, longest, mask, dropout, _seed(kv, dropout))
    return found


def _seed(like: Tensor, dropout: float) -> Tensor | None:
    return call_seed(like.device) if dropout else None


@functools.cache
def _kernels() -> ModuleType | None:
    if os.environ.get(SWITCH, "1") == "0":
        return None
    try:
        from interbert.model import short_attention_kernels
    except ImportError:  # no Triton: PyTorch for CPUs
        return None
    return short_attention_kernels


def _launched() -> Any:
    kernels = _kernels()
    assert kernels is not None
    return kernels


def _like(tensor: Tensor) -> Tensor:
    return torch.empty_like(tensor, memory_format=torch.contiguous_format)


@torch.library.custom_op("interbert::attend_within", mutates_args=())
def _attend_within(
    qkv: Tensor, starts: Tensor, longest: int, mask: Tensor | None, dropout: float, seed: Tensor | None
) -> Tensor:
    out = qkv.new_empty(len(qkv), *qkv.shape[2:])
    _launched().forward(*qkv.unbind(1), out, starts, longest, mask, dropout, seed)
    return out


@_attend_within.register_fake
def _(qkv: Tensor, *_: Any) -> Tensor:
    return qkv.new_empty(qkv.shape[0], *qkv.shape[2:])


@torch.library.custom_op("interbert::attend_within_backward", mutates_args=())
def _attend_within_backward(
    gradient: Tensor,
    qkv: Tensor,
    starts: Tensor,
    longest: int,
    mask: Tensor | None,
    dropout: float,
    seed: Tensor | None,
) -> Tensor:
    found = _like(qkv)
    _launched().backward(gradient.contiguous(), *qkv.unbind(1), *found.unbind(1), starts, longest, mask, dropout, seed)
    return found


@torch.library.custom_op("interbert::attend_from_first", mutates_args=())
def _attend_from_first(
    query: Tensor, kv: Tensor, starts: Tensor, longest: int, mask: Tensor | None, dropout: float, seed: Tensor | None
) -> Tensor:
    out = _like(query)
    _launched().forward(query, *kv.unbind(1), out, starts, longest, mask, dropout, seed)
    return out


@_attend_from_first.register_fake
def _(query: Tensor, *_: Any) -> Tensor:
    return _like(query)


@torch.library.custom_op("interbert::attend_from_first_backward", mutates_args=())
def _attend_from_first_backward(
    gradient: Tensor,
    query: Tensor,
    kv: Tensor,
    starts: Tensor,
    longest: int,
    mask: Tensor | None,
    dropout: float,
    seed: Tensor | None,
) -> tuple[Tensor, Tensor]:
    of_query, of_kv = _like(query), _like(kv)
    _launched().backward(
        gradient.contiguous(), query, *kv.unbind(1), of_query, *of_kv.unbind(1), starts, longest, mask, dropout, seed
    )
    return of_query, of_kv


@_attend_within_backward.register_fake
def _(gradient: Tensor, qkv: Tensor, *_: Any) -> Tensor:
    return _like(qkv)


@_attend_from_first_backward.register_fake
def _(gradient: Tensor, query: Tensor, kv: Tensor, *_: Any) -> tuple[Tensor, Tensor]:
    return _like(query), _like(kv)


def _remember(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    *attending, starts, ctx.longest, mask, ctx.dropout, seed = inputs
    ctx.save_for_backward(*attending, starts, mask, seed)


def _differentiate(backward: Callable[..., Any], ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
    *attending, starts, mask, seed = ctx.saved_tensors
    found = backward(gradient, *attending, starts, ctx.longest, mask, ctx.dropout, seed)
    return (*(found if len(attending) > 1 else [found]), None, None, None, None, None)


for _forward, _backward in (
    (_attend_within, _attend_within_backward),
    (_attend_from_first, _attend_from_first_backward),
):
    _forward.register_autograd(functools.partial(_differentiate, _backward), setup_context=_remember)
