"""Dropout that costs little: a compiled model next to nothing on a GPU, any model a third of torch's on a CPU.

A compiler that fuses dropout into what follows calls a random number generator made for statistics (Philox: ten rounds
of two wide products) for every element, which takes longer than reading and writing it. A hash of the element's place
and the call's seed is random enough to drop by, at a tenth of that; ``short_attention_kernels`` drops attention weights
by the same hash. On a CPU torch draws a number of 53 bits for each element, one after the other; here a draw of 64 bits
decides on four.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

_MOST = 2**31 - 1
"""More elements cannot be told apart by int32."""
_BITS = 24
"""Of the hash that decide."""


class Dropout(nn.Dropout):
    """Dropout as everywhere, by :func:`dropout`."""

    def forward(self, values: Tensor) -> Tensor:
        """[...] -> [...]."""
        return dropout(values, self.p, self.training)


def dropout(values: Tensor, share: float, training: bool) -> Tensor:
    """Zero each element with probability ``share``, independently, and scale the others up; only in training.

    By :func:`hashed_dropout` where a model is compiled for CUDA, by :func:`drawn_dropout` where it runs on a CPU as it
    is written, else by torch.
    """
    if training and 0.0 < share < 1.0:
        if _is_fused(values.device, values.numel()):
            return hashed_dropout(values, share)
        if values.device.type == "cpu" and not torch.compiler.is_compiling():
            return drawn_dropout(values, share)
    return nn.functional.dropout(values, share, training)


def drawn_dropout(values: Tensor, share: float) -> Tensor:
    """As :func:`hashed_dropout`, by the CPU's generator, ``share`` to a 16th binary place."""
    count = values.numel()
    draws = torch.empty(-(-count // 4), dtype=torch.int64).random_(-(2**63), None)
    kept = draws.view(torch.int16)[:count].view(values.shape) >= round(share * 2**16) - 2**15
    return values * (kept.to(values.dtype) * (1 / (1 - share)))


def _is_fused(device: torch.device, elements: int) -> bool:
    """Whether a compiler will fuse what is done to each element; by itself each step of the hash would be a kernel."""
    return torch.compiler.is_compiling() and device.type == "cuda" and elements <= _MOST


def hashed_dropout(values: Tensor, share: float) -> Tensor:
    """Zero each element with probability ``share``, independently, and scale the others up so that the mean stays.

    Args:
        values: at most 2^31 - 1 of them.
        share: between 0 and 1, to a 24th binary place.

    Returns:
        a tensor like ``values``.
    """
    place = torch.arange(values.numel(), dtype=torch.int32, device=values.device).view(values.shape)
    seed = call_seed(values.device)
    first, second = (seed.as_strided((), (), at) for at in (0, 1))  # unlike unbind not computed anew for each element
    number = _mix(_mix(place ^ first) + second)
    kept = _right(number, 32 - _BITS) >= round(share * 2**_BITS)
    return torch.where(kept, values, 0.0) * (1 / (1 - share))


def call_seed(device: torch.device) -> Tensor:
    """int32 [2], of the device's own generator: nothing is waited for, and recomputing a layer gives the same."""
    return torch.randint(-(2**31), 2**31 - 1, (2,), device=device, dtype=torch.int32)


def _mix(number: Tensor) -> Tensor:
    """MurmurHash3's finalizer of int32: every bit of the outcome hangs on every bit that goes in."""
    number = number ^ _right(number, 16)
    number = number * (0x85EBCA6B - 2**32)
    number = number ^ _right(number, 13)
    number = number * (0xC2B2AE35 - 2**32)
    return number ^ _right(number, 16)


def _right(number: Tensor, bits: int) -> Tensor:
    """Shift right, zeros moving in."""
    found: Tensor = (number >> bits) & (2 ** (32 - bits) - 1)
    return found
