"""Which candidates of a text are worth reading jointly: those that the joint pass can lift to the first places.

Shapes: n candidates of a text.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

FIRST_PLACES = 3
"""What can come into these is read. Behind them the order is that of estimates, as good by measure."""


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
