"""Attention within packed sequences, by the kernels that GPUs have for it.

Shapes: B sequences, N tokens of all of them, M queries (N, or B when only first tokens ask), A heads, D head size.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from transformers.utils import is_flash_attn_2_available

from interbert.model.short_attention import attend_from_first, attend_within, card_fits

_LARGEST_HEAD = 192
"""Head size that the kernels take; above 192 (up to 256) some cards have no backward."""


class Kernel(Protocol):
    """Softmax attention of sequences that lie one after the other, scaled by 1/sqrt(D): flash-attn's own signature."""

    def __call__(
        self,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        query_starts: Tensor,
        key_starts: Tensor,
        longest_query: int,
        longest_key: int,
        /,
        *,
        dropout_p: float,
    ) -> Tensor:
        """Attend.

        Args:
            query: [M,A,D].
            key, value: [N,A,D].
            query_starts, key_starts: int32 [B+1], row where each sequence starts, and the number of rows.
            longest_query, longest_key: no sequence is longer.
            dropout_p: share of the attention weights that is dropped.

        Returns:
            [M,A,D].
        """


@dataclass(frozen=True)
class Sequences:
    """Packed rows as sequences that lie one after the other, and what attends within them."""

    kernel: Kernel
    starts: Tensor
    """int32 [B+1], row where each sequence starts, and N."""
    longest: int

    @classmethod
    def of(cls, mask: Tensor, kernel: Kernel) -> Sequences:
        """Sequences of a padded batch's mask [B,L], 1 at real tokens."""
        return cls(kernel, _starts(mask), mask.shape[1])

    def attend(self, query: Tensor, key: Tensor, value: Tensor, first_only: bool, dropout: float) -> Tensor:
        """Attend from queries [M,A,D], with ``first_only`` one of each sequence, to all [N,A,D]; gives [M,A,D]."""
        starts, longest = self.starts, self.longest
        if first_only:
            starts, longest = torch.arange(len(starts), dtype=starts.dtype, device=starts.device), 1
        return self.kernel(query, key, value, starts, self.starts, longest, self.longest, dropout_p=dropout)


@dataclass(frozen=True)
class ShortSequences:
    """Rows as short sequences that lie one after the other, for the kernels of ``short_attention``."""

    starts: Tensor
    """int32 [B+1], row where each sequence starts, and N."""
    longest: int
    mask: Tensor | None = None
    """bool [N], True at rows that are attended to; None: all are."""

    @classmethod
    def packed(cls, mask: Tensor) -> ShortSequences:
        """The real tokens of a padded batch with mask [B,L], one sequence's after the other's."""
        return cls(_starts(mask), mask.shape[1])

    @classmethod
    def padded(cls, batch: int, length: int, mask: Tensor | None, device: torch.device) -> ShortSequences:
        """All places of a padded batch, with its mask [B,L]."""
        starts = torch.arange(0, batch * length + 1, length, dtype=torch.int32, device=device)
        return cls(starts, length, None if mask is None else mask.flatten().bool())

    def within(self, qkv: Tensor, dropout: float) -> Tensor:
        """Attention within each sequence: [N,3,A,D] -> [N,A,D]."""
        return attend_within(qkv, self.starts, self.longest, self.mask, dropout)

    def from_first(self, query: Tensor, kv: Tensor, dropout: float) -> Tensor:
        """Attention from one query of each sequence: [B,A,D] and [N,2,A,D] -> [B,A,D]."""
        return attend_from_first(query, kv, self.starts, self.longest, self.mask, dropout)


def _starts(mask: Tensor) -> Tensor:
    """int32 [B+1], where the real tokens of each sequence start when they lie packed; a GPU need not wait for it."""
    return nn.functional.pad(mask.bool().sum(dim=1).cumsum(0), (1, 0)).int()


def varlen_kernel(device: torch.device, dtype: torch.dtype, dropout: float, head_sizes: Iterable[int]) -> Kernel | None:
    """The kernel for packed sequences on this device: flash-attn's where installed, else PyTorch's.

    Args:
        device: of the tokens.
        dtype: of queries, keys and values.
        dropout: largest share of attention weights that is dropped; PyTorch's kernel drops none.
        head_sizes: of all layers.

    Returns:
        None where no kernel does this: off CUDA, in float32, with other head sizes, or with dropout but no flash-attn.
    """
    if not card_fits(device, dtype, head_sizes, _LARGEST_HEAD):
        return None
    return _flash_attn() or (_torch_varlen() if dropout == 0 else None)


def compute_dtype(like: Tensor) -> torch.dtype:
    """What linear maps of ``like`` give: autocast's type where it is on."""
    kind = like.device.type
    casts = _can_cast(kind) and torch.is_autocast_enabled(kind)
    return torch.get_autocast_dtype(kind) if casts else like.dtype


@torch.compiler.assume_constant_result  # type: ignore[untyped-decorator]  # older compilers do not see through it
def _can_cast(kind: str) -> bool:
    return torch.amp.is_autocast_available(kind)


@functools.cache
def _flash_attn() -> Kernel | None:
    if not is_flash_attn_2_available():
        return None
    try:
        from flash_attn import flash_attn_varlen_func
    except ImportError:  # built for another PyTorch
        return None
    kernel: Kernel = flash_attn_varlen_func
    return kernel


@functools.cache
def _torch_varlen() -> Kernel | None:
    if not torch.backends.cuda.is_flash_attention_available():
        return None
    try:
        from torch.nn.attention.varlen import varlen_attn
    except ImportError:
        return None

    def attend(*inputs: Any, dropout_p: float) -> Tensor:
        assert dropout_p == 0, "PyTorch's kernel drops no weights"
        found = varlen_attn(*inputs)  # no options: their place differs between versions, and their defaults are ours
        assert isinstance(found, Tensor)
        return found

    return attend
