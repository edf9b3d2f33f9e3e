"""Which candidates of a text are worth reading jointly: those that the joint pass can lift to the first places.

Shapes: n candidates of a text.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from interbert.errors import ConfigError

FIRST_PLACES = 3
"""What can come into these is read. Behind them the order is that of estimates, as good by measure."""


def require_reach(config: Any) -> None:
    """Check what a model's settings say of it.

    Args:
        config: with ``rerank_depth``, ``rerank_reach``, ``unread_score``, and weight and offset of the dual score.

    Raises:
        ConfigError: some are missing or impossible.
    """
    depth, reach, unread = fields = (config.rerank_depth, config.rerank_reach, config.unread_score)
    if fields == (None, None, None):
        return
    if None in fields:
        raise ConfigError("rerank_depth, rerank_reach and unread_score belong together: set all, or none.")
    if isinstance(depth, bool) or not isinstance(depth, int) or depth < 1:
        raise ConfigError(f"rerank_depth must be a whole number of at least 1, not {depth!r}.")
    if not (_is_finite(reach) and reach >= 0 and _is_finite(unread)):
        raise ConfigError(f"rerank_reach must be 0 or more, and unread_score a number, not {reach!r} and {unread!r}.")
    weight = config.dual_score_weight
    if not (_is_finite(weight) and weight > 0) or config.dual_score_offset is not None:
        raise ConfigError(
            "rerank_depth needs a dual_score_weight above 0 and no dual_score_offset: joint and dual scores."
        )


def _is_finite(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def within_reach(dual: NDArray[Any], reach: float, depth: int) -> NDArray[np.bool_]:
    """Whether each candidate is to be read.

    Args:
        dual: dual scores [...,n] as they count in the mixture, in any order.
        reach: so far below the last of the first places a candidate may be.
        depth: no more than so many are read, but for equal scores.
    """
    ordered = -np.sort(-dual, axis=-1)
    most = dual.shape[-1] - 1
    last = ordered[..., min(FIRST_PLACES - 1, most), None] - reach
    within: NDArray[np.bool_] = dual >= np.maximum(last, ordered[..., min(depth - 1, most), None])
    return within
