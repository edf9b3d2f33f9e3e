"""The Triton kernels of ``short_attention``: one program attends within one sequence, for one head.

Queries go block by block past keys and values that stay where they are. Products of matrices take the inputs' type and
add up in float32, as everywhere. Dropout asks a hash of each weight's place and the call's seed (MurmurHash3's
finalizer, twice), at a tenth of the cost of a random number generator made for statistics.

Shapes: as in ``short_attention``.
"""

from __future__ import annotations

import math

import torch
import triton
import triton.language as tl
from torch import Tensor

_LOG2E = tl.constexpr(1.4426950408889634)
_LEAST_BLOCK = 16
"""Matrix units take no smaller blocks."""
BLOCKS: dict[tuple[str, int, int], tuple[int, int]] = {
    ("forward", 32, 64): (16, 2),
    ("backward", 32, 64): (16, 2),
    ("forward", 64, 64): (64, 4),
    ("backward", 64, 64): (64, 4),
    ("forward", 64, 128): (64, 4),
    ("backward", 128, 128): (16, 8),
}
"""Pass, keys and head size of a block -> queries of a block, and warps: the fastest of those tried on an H200, and in
the last row the only one whose registers hold what it needs (benchmarks/results/mfu.md)."""
_OTHER_BLOCK = (16, 4)


@triton.jit
def _mix(number):
    number ^= number >> 16
    number *= 0x85EBCA6B
    number ^= number >> 13
    number *= 0xC2B2AE35
    return number ^ (number >> 16)


@triton.jit
def _kept(seed, head, rows, columns, total, share, COLUMNS: tl.constexpr):
    """Which weights of a block are kept, each with probability 1 - share."""
    place = ((head * total + rows) * COLUMNS)[:, None] + columns[None, :]
    first = tl.load(seed).to(tl.uint32)
    second = tl.load(seed + 1).to(tl.uint32)
    number = _mix(_mix(place.to(tl.uint32) ^ first) + second)
    return (number >> 8).to(tl.float32) * (1.0 / 16777216.0) >= share


@triton.jit
def _weights(query, key, seen, scale):
    """Softmax over the keys that are seen, f32."""
    scores = tl.dot(query, tl.trans(key)) * (scale * _LOG2E)
    scores = tl.where(seen[None, :], scores, -1e30)
    weights = tl.exp2(scores - tl.max(scores, 1)[:, None])
    weights = tl.where(seen[None, :], weights, 0.0)
    return weights / tl.maximum(tl.sum(weights, 1), 1e-30)[:, None]


@triton.jit
def _forward(
    query,
    key,
    value,
    out,
    starts,
    mask,
    seed,
    scale,
    share,
    total,
    query_row,
    query_head,
    key_row,
    key_head,
    out_row,
    out_head,
    FIRST: tl.constexpr,
    MASKED: tl.constexpr,
    DROPS: tl.constexpr,
    SIZE: tl.constexpr,
    ROWS: tl.constexpr,
    COLUMNS: tl.constexpr,
    WIDTH: tl.constexpr,
):
    head, sequence = tl.program_id(0), tl.program_id(1)
    start = tl.load(starts + sequence).to(tl.int64)
    length = (tl.load(starts + sequence + 1) - start).to(tl.int32)
    columns, width = tl.arange(0, COLUMNS), tl.arange(0, WIDTH)
    seen = columns < length
    fits = width < SIZE
    at = (start + columns)[:, None] * key_row + head * key_head + width[None, :]
    inside = seen[:, None] & fits[None, :]
    keys = tl.load(key + at, mask=inside, other=0.0)
    values = tl.load(value + at, mask=inside, other=0.0)
    if MASKED:
        seen = seen & (tl.load(mask + start + columns, mask=seen, other=0) != 0)
    asked = length
    first = start
    if FIRST:
        asked = 1
        first = sequence.to(tl.int64)
    for block in range(0, asked, ROWS):
        rows = block + tl.arange(0, ROWS)
        real = (rows < asked)[:, None] & fits[None, :]
        queries = tl.load(
            query + (first + rows)[:, None] * query_row + head * query_head + width[None, :], mask=real, other=0.0
        )
        weights = _weights(queries, keys, seen, scale)
        if DROPS:
            kept = _kept(seed, head, first + rows, columns, total, share, COLUMNS)
            weights = tl.where(kept, weights / (1.0 - share), 0.0)
        found = tl.dot(weights.to(values.dtype), values)
        tl.store(
            out + (first + rows)[:, None] * out_row + head * out_head + width[None, :],
            found.to(out.dtype.element_ty),
            mask=real,
        )


@triton.jit
def _backward(
    gradient,
    query,
    key,
    value,
    of_query,
    of_key,
    of_value,
    starts,
    mask,
    seed,
    scale,
    share,
    total,
    gradient_row,
    gradient_head,
    query_row,
    query_head,
    key_row,
    key_head,
    of_query_row,
    of_query_head,
    of_key_row,
    of_key_head,
    FIRST: tl.constexpr,
    MASKED: tl.constexpr,
    DROPS: tl.constexpr,
    SIZE: tl.constexpr,
    ROWS: tl.constexpr,
    COLUMNS: tl.constexpr,
    WIDTH: tl.constexpr,
):
    head, sequence = tl.program_id(0), tl.program_id(1)
    start = tl.load(starts + sequence).to(tl.int64)
    length = (tl.load(starts + sequence + 1) - start).to(tl.int32)
    columns, width = tl.arange(0, COLUMNS), tl.arange(0, WIDTH)
    seen = columns < length
    fits = width < SIZE
    inside = seen[:, None] & fits[None, :]
    at = (start + columns)[:, None] * key_row + head * key_head + width[None, :]
    keys = tl.load(key + at, mask=inside, other=0.0)
    values = tl.load(value + at, mask=inside, other=0.0)
    if MASKED:
        seen = seen & (tl.load(mask + start + columns, mask=seen, other=0) != 0)
    asked = length
    first = start
    if FIRST:
        asked = 1
        first = sequence.to(tl.int64)
    key_sum = tl.zeros((COLUMNS, WIDTH), dtype=tl.float32)
    value_sum = tl.zeros((COLUMNS, WIDTH), dtype=tl.float32)
    for block in range(0, asked, ROWS):
        rows = block + tl.arange(0, ROWS)
        real = (rows < asked)[:, None] & fits[None, :]
        queries = tl.load(
            query + (first + rows)[:, None] * query_row + head * query_head + width[None, :], mask=real, other=0.0
        )
        asking = tl.load(
            gradient + (first + rows)[:, None] * gradient_row + head * gradient_head + width[None, :],
            mask=real,
            other=0.0,
        )
        weights = _weights(queries, keys, seen, scale)
        of_weights = tl.dot(asking, tl.trans(values))
        used = weights
        if DROPS:
            kept = _kept(seed, head, first + rows, columns, total, share, COLUMNS)
            used = tl.where(kept, weights / (1.0 - share), 0.0)
            of_weights = tl.where(kept, of_weights / (1.0 - share), 0.0)
        value_sum += tl.dot(tl.trans(used.to(asking.dtype)), asking)
        of_scores = weights * (of_weights - tl.sum(weights * of_weights, 1)[:, None]) * scale
        of_scores = of_scores.to(queries.dtype)
        key_sum += tl.dot(tl.trans(of_scores), queries)
        tl.store(
            of_query + (first + rows)[:, None] * of_query_row + head * of_query_head + width[None, :],
            tl.dot(of_scores, keys).to(of_query.dtype.element_ty),
            mask=real,
        )
    at = (start + columns)[:, None] * of_key_row + head * of_key_head + width[None, :]
    tl.store(of_key + at, key_sum.to(of_key.dtype.element_ty), mask=inside)
    tl.store(of_value + at, value_sum.to(of_value.dtype.element_ty), mask=inside)


def forward(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    out: Tensor,
    starts: Tensor,
    longest: int,
    mask: Tensor | None,
    dropout: float,
    seed: Tensor | None,
) -> None:
    """Attend from ``query`` [N,A,D], or [B,A,D] with one of each sequence, to ``key`` and ``value`` [N,A,D]."""
    _require_rows(query, key, value, out)
    options = _options("forward", query, key, starts, longest, mask, dropout)
    _forward[_grid(key, starts)](
        query,
        key,
        value,
        out,
        *_extras(starts, mask, seed),
        query.shape[-1] ** -0.5,
        dropout,
        len(query),
        *query.stride()[:2],
        *key.stride()[:2],
        *out.stride()[:2],
        **options,
    )


def backward(
    gradient: Tensor,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    of_query: Tensor,
    of_key: Tensor,
    of_value: Tensor,
    starts: Tensor,
    longest: int,
    mask: Tensor | None,
    dropout: float,
    seed: Tensor | None,
) -> None:
    """Fill ``of_query``, ``of_key`` and ``of_value`` with the gradients, given that of the output."""
    _require_rows(gradient, query, key, value, of_query, of_key, of_value)
    options = _options("backward", query, key, starts, longest, mask, dropout)
    _backward[_grid(key, starts)](
        gradient,
        query,
        key,
        value,
        of_query,
        of_key,
        of_value,
        *_extras(starts, mask, seed),
        query.shape[-1] ** -0.5,
        dropout,
        len(query),
        *gradient.stride()[:2],
        *query.stride()[:2],
        *key.stride()[:2],
        *of_query.stride()[:2],
        *of_key.stride()[:2],
        **options,
    )


def _grid(key: Tensor, starts: Tensor) -> tuple[int, int]:
    return key.shape[1], len(starts) - 1


def _extras(starts: Tensor, mask: Tensor | None, seed: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
    """Tensors that are looked at; where there is none, one that is not looked at."""
    return starts, starts if mask is None else mask.view(torch.uint8), starts if seed is None else seed


def _options(
    of: str, query: Tensor, key: Tensor, starts: Tensor, longest: int, mask: Tensor | None, dropout: float
) -> dict[str, bool | int]:
    first_only = len(query) != len(key)
    assert not first_only or len(query) == len(starts) - 1
    return options(of, longest, query.shape[-1], first_only=first_only, masked=mask is not None, drops=dropout > 0)


def options(of: str, longest: int, size: int, *, first_only: bool, masked: bool, drops: bool) -> dict[str, bool | int]:
    """What a kernel is compiled for.

    Args:
        of: forward or backward.
        longest: sequence of the batch.
        size: of a head.
        first_only: one query of each sequence asks.
        masked: some tokens are not attended to.
        drops: some weights are dropped.

    Returns:
        the kernel's constants, and its number of warps and stages.
    """
    columns, width = block_of(longest), block_of(size)
    rows, warps = BLOCKS.get((of, columns, width), _OTHER_BLOCK)
    return {
        "FIRST": first_only,
        "MASKED": masked,
        "DROPS": drops,
        "SIZE": size,
        "ROWS": _LEAST_BLOCK if first_only else min(columns, rows),
        "COLUMNS": columns,
        "WIDTH": width,
        "num_warps": warps,
        "num_stages": 1,
    }


def block_of(number: int) -> int:
    """The smallest block that holds so many: a power of two."""
    return max(_LEAST_BLOCK, 1 << math.ceil(math.log2(number)))


def _require_rows(*tensors: Tensor) -> None:
    assert all(one.ndim == 3 and one.stride(2) == 1 for one in tensors), "rows of heads must lie together"
