"""How vectors are stored, so that the nearest in L2 are the largest inner products, and rounding harms them least.

A stored vector has one number more than the model's, which makes all equally long (Bachrach et al. 2014, "Speeding up
the Xbox recommender system using a Euclidean transformation", section 3). Then it is turned by a fixed random rotation:
lengths and angles stay, but every number carries about as much as any other, which an index of 8-bit numbers needs
(benchmarks/results/search_scale.md).

Shapes: n vectors, D numbers of a model's vector, S numbers of a stored one.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

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


def from_stored(stored: Float32, vector_size: int) -> Float32:
    """Stored vectors [n,S] as the model made them [n,D]."""
    back: Float32 = stored.astype(np.float32) @ rotation(stored.shape[1])[:vector_size].T
    return back
