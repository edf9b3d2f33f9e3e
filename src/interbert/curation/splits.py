"""Stand-in."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class SplitOptions:
    """Stand-in."""

    train: float = 0.9
    """Stand-in."""
    validation: float = 0.05
    """Stand-in."""
    test: float = 0.05
    """Stand-in."""
    seed: int = 0
    """Stand-in."""


def split_groups(
    groups: NDArray[np.int64], keys: Sequence[str], categories: Sequence[str] | None, options: SplitOptions
) -> NDArray[np.int8]:
    """Stand-in."""
    shares = np.cumsum([options.train, options.validation])
    out = np.zeros(len(groups), np.int8)
    for group in np.unique(groups):
        digest = hashlib.blake2b(f"{options.seed}:{keys[int(group)]}".encode(), digest_size=8).digest()
        out[groups == group] = np.searchsorted(shares, int.from_bytes(digest, "big") / 2**64, side="right")
    return out
