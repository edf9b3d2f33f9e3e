"""What reranking needs of an image, in few bytes: its projected region embeddings, rounded.

The joint pass reads nothing of an image but its embedded tokens [R,H] (SPEC part 1), so an index keeps those instead
of the region features: at H 384 a sixth of the float16 features of an ImageNet backbone. ``int8`` keeps whole numbers
and one float16 scale per token; ``fp16`` keeps halves. What it costs in R@1: benchmarks/results/search_scale.md.

Shapes: R image tokens (global token first), H hidden size.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from interbert.errors import VectorIndexError

TokenQuantisation = Literal["int8", "fp16"]
Float32 = NDArray[np.float32]

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
        VectorIndexError: the bytes are no whole number of tokens.
    """
    per_token = 2 * hidden_size if token_quantisation == "fp16" else hidden_size + 2
    count, rest = divmod(len(data), per_token)
    if rest or not count:
        raise VectorIndexError(f"{where}: its regions are damaged ({len(data)} bytes). Add the product again.")
    if token_quantisation == "fp16":
        return np.frombuffer(data, "<f2").reshape(count, hidden_size).astype(np.float32)
    scales = np.frombuffer(data, "<f2", count).astype(np.float32)
    whole = np.frombuffer(data, np.int8, offset=2 * count).reshape(count, hidden_size)
    tokens: Float32 = whole * scales[:, None]
    return tokens
