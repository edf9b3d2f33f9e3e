"""Stand-in."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class NearTitleOptions:
    """Stand-in."""

    threshold: float = 0.8
    """Stand-in."""


def near_title_pairs(
    titles: Sequence[str], options: NearTitleOptions, progress: Callable[[int], None] | None = None
) -> NDArray[np.int64]:
    """Stand-in."""
    first: dict[str, int] = {}
    pairs = []
    for row, title in enumerate(titles):
        one = first.setdefault("".join(title.split()).lower(), row)
        if one != row:
            pairs.append((one, row))
    return np.array(pairs, dtype=np.int64).reshape(-1, 2)
