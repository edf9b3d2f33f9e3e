"""Where losses are taken, as flat positions: looking for them in a mask makes a GPU wait in every step."""

from __future__ import annotations

from torch import Tensor


def flat_positions(chosen: Tensor) -> Tensor:
    """int64 [M], where a bool [B,L] is True in its flat order."""
    return chosen.flatten().nonzero().squeeze(1)
