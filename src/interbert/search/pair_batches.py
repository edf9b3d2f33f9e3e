"""Batches of pairs for a network that takes no padding: all of a batch have as many tokens of each kind.

Shapes: n pairs or texts.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

_TOKENS = 16_384
"""Of a batch, so that memory is bounded."""
_PAIRS, _FEW = 16, 4
"""A batch has a multiple of these, a small one of the second, the last pair repeated: OpenVINO compiles its kernels for
each shape that it has not seen, which takes as long as scoring."""


def even_batches(
    lengths: NDArray[np.int64], counts: NDArray[np.int64], cores: int | None = None
) -> Iterator[NDArray[np.int64]]:
    """Places of pairs in batches.

    Args:
        lengths, counts: [n] tokens of each pair's text and image.
        cores: of many pairs, at least one batch for each; batches are as large as memory allows when not given.
    """
    order = np.lexsort((counts, lengths))
    share = len(order) if cores is None else -(-len(order) // (cores * _PAIRS)) * _PAIRS
    ends = np.flatnonzero(np.diff(lengths[order]) | np.diff(counts[order])) + 1
    for run in np.split(order, ends):
        if len(run):
            most = max(1, min(share, _TOKENS // int(lengths[run[0]] + counts[run[0]])))
            yield from (run[start : start + most] for start in range(0, len(run), most))


def filled(one: NDArray[Any]) -> NDArray[Any]:
    """An input of a batch [n,...], its last pair repeated up to the next multiple."""
    multiple = _PAIRS if len(one) > _PAIRS else _FEW
    return np.pad(one, [(0, -len(one) % multiple)] + [(0, 0)] * (one.ndim - 1), "edge")
