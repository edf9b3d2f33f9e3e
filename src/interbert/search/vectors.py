"""How an index stores vectors, so that the nearest in L2 are the largest inner products, and the image tokens that
reranking reads, rounded."""

from __future__ import annotations

from functools import lru_cache
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from interbert.errors import VectorIndexError

Float32 = NDArray[np.float32]

_SEED = 0


def stored_size(vector_size: int) -> int:
    """S: one more than D, up to a multiple of 16."""
    return -(-(vector_size + 1) // 16) * 16


def unit_rows(vectors: Float32) -> Float32:
    """Vectors [n,D] with length 1; zeros stay zeros."""
    unit: Float32 = vectors / np.linalg.norm(vectors, axis=1, keepdims=True).clip(min=1e-9)
    return unit


@lru_cache(maxsize=4)
def rotation(size: int) -> Float32:
    """The rotation [S,S]; the same everywhere."""
    triangle: Float32
    turned, triangle = np.linalg.qr(np.random.default_rng(_SEED).normal(size=(size, size)))
    whole: Float32 = (turned * np.sign(np.diag(triangle))).astype(np.float32)
    return whole


def to_stored(vectors: Float32, size: int, largest_norm: float) -> Float32:
    """Vectors [n,D] as they are stored [n,S], all of length ``largest_norm``."""
    lifted = np.zeros((len(vectors), size), dtype=np.float32)
    width = vectors.shape[1]
    lifted[:, :width] = vectors
    lifted[:, width] = np.sqrt((largest_norm**2 - np.square(vectors).sum(axis=1)).clip(min=0))
    stored: Float32 = lifted @ rotation(size)
    return stored


def to_query(vector: Float32, size: int, largest_norm: float) -> Float32:
    """A query [D] to be compared with stored vectors [S]: as long as they are, since only its direction matters.

    An index of 8-bit numbers keeps queries in the same range as what it stores, and would cut a longer one off.
    """
    lifted = np.zeros(size, dtype=np.float32)
    lifted[: len(vector)] = vector * (largest_norm / max(float(np.linalg.norm(vector)), 1e-12))
    query: Float32 = lifted @ rotation(size)
    return query


_BLOCK_ROWS = 64


def fixed_blocks(rows: Float32) -> list[Float32]:
    """Rows [n,X] in blocks [64,X], the last filled up with zeros.

    BLAS sums in another order for matrices of other shapes: what is computed block by block of a row depends on that
    row alone, to the last bit.
    """
    padded = np.pad(rows, ((0, -len(rows) % _BLOCK_ROWS), (0, 0)))
    return [padded[start : start + _BLOCK_ROWS] for start in range(0, len(padded), _BLOCK_ROWS)]


def from_stored(stored: Float32, vector_size: int) -> Float32:
    """Stored vectors [n,S] as the model made them [n,D]."""
    back: Float32 = stored.astype(np.float32) @ rotation(stored.shape[1])[:vector_size].T
    return back


TokenQuantisation = Literal["int8", "fp16"]

_LARGEST = 127


def encode_tokens(tokens: Float32, token_quantisation: TokenQuantisation) -> bytes:
    """Tokens [R,H] as bytes: R float16 scales and R*H int8, or R*H float16."""
    if token_quantisation == "fp16":
        return bytes(tokens.astype("<f2").tobytes())
    scales = (np.abs(tokens).max(axis=1) / _LARGEST).clip(min=1e-6).astype("<f2")
    whole = np.rint(tokens / scales[:, None].astype(np.float32)).clip(-_LARGEST, _LARGEST).astype(np.int8)
    return bytes(scales.tobytes() + whole.tobytes())


def decode_tokens(data: bytes, hidden_size: int, token_quantisation: TokenQuantisation, where: str) -> Float32:
    """Inverse of :func:`encode_tokens`, float32 [R,H].

    Raises:
        VectorIndexError: the bytes are no whole number of tokens, or not of numbers that are finite.
    """
    per_token = 2 * hidden_size if token_quantisation == "fp16" else hidden_size + 2
    count, rest = divmod(len(data), per_token)
    if rest or not count:
        raise VectorIndexError(f"{where}: its regions are damaged ({len(data)} bytes). Add the product again.")
    if token_quantisation == "fp16":
        tokens: Float32 = np.frombuffer(data, "<f2").reshape(count, hidden_size).astype(np.float32)
    else:
        scales = np.frombuffer(data, "<f2", count).astype(np.float32)
        tokens = np.frombuffer(data, np.int8, offset=2 * count).reshape(count, hidden_size) * scales[:, None]
    if not np.isfinite(tokens).all():  # the joint pass would make a finite score of them
        raise VectorIndexError(f"{where}: its regions are damaged (they are not finite). Add the product again.")
    return tokens
