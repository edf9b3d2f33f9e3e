"""How many of a text's candidates searches read jointly: as few as rank validation's texts as well as reading all.

The mixture's dual part is known before anything is read. On validation it is measured from how far below the first
places the joint pass lifted a candidate into them; candidates farther below than that, and a margin, are not read.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from interbert.model.rerank_reach import FIRST_PLACES, within_reach
from interbert.tasks.metrics import Estimate, estimates, group_means

Floats = NDArray[np.floating]

_DEPTHS = (8, 16, 32)
_MARGIN = 1.25
"""Times the farthest that was seen: other texts may have candidates lifted farther."""
_LEAST_TEXTS = 200
"""Fewer do not show how far candidates are lifted."""
_MOST_LOST = 0.003
"""Of R@1 and of the reciprocal rank, at the far end of the interval."""
_WORTH = 0.9
"""Share of candidates that may be read at most, else all are."""
_RESAMPLINGS = 1000


@dataclass(frozen=True)
class RerankDepth:
    """What a finished model has, and what validation says of it."""

    depth: int
    """Candidates that are read at most."""
    reach: float
    """Log-odds below the last of the first places, by the dual score, from which candidates are read."""
    unread: float
    """Joint score that a candidate which is not read counts with: the mean of such candidates."""
    read: float
    """Candidates of a text that are read, in the mean."""
    lost: Estimate
    """R@1 of reading all less that of reading these, a share; paired."""


def fit_rerank_depth(
    joint: Floats, dual: Floats, relevant: NDArray[np.bool_], groups: NDArray[np.integer]
) -> RerankDepth | None:
    """The smallest depth that loses nothing; None where nearly all have to be read, or texts are too few to tell.

    Args:
        joint: [texts, k] joint scores of each text's candidates, as the model mixes them.
        dual: [texts, k] dual scores of the same, likewise; their sum ranks.
        relevant: bool [texts, k].
        groups: [texts], equal for texts of one image.
    """
    if len(joint) < _LEAST_TEXTS or joint.shape[1] <= FIRST_PLACES:
        return None
    first = np.argsort(-(joint + dual), axis=1, kind="stable")[:, :FIRST_PLACES]
    last = np.sort(dual, axis=1)[:, -FIRST_PLACES]
    below = last[:, None] - np.take_along_axis(dual, first, axis=1)
    reach = _MARGIN * max(0.0, float(below.max()))
    for depth in _DEPTHS:
        read = within_reach(dual, reach, depth)
        if read.mean() > _WORTH:
            return None
        unread = float(joint[~read].mean())
        lost = _lost(joint + dual, dual + np.where(read, joint, unread), relevant, groups)
        if all(one.high <= _MOST_LOST for one in lost.values()):
            return RerankDepth(depth, reach, unread, float(read.sum(axis=1).mean()), lost["first"])
    return None


def _lost(
    whole: Floats, found: Floats, relevant: NDArray[np.bool_], groups: NDArray[np.integer]
) -> dict[str, Estimate]:
    """R@1 and reciprocal rank of some scores [texts, k] less those of others."""
    before, after = _reciprocal(whole, relevant), _reciprocal(found, relevant)
    lost = {"first": (before == 1.0).astype(float) - (after == 1.0), "reciprocal": before - after}
    return estimates({name: group_means(one, groups) for name, one in lost.items()}, _RESAMPLINGS, seed=0)


def _reciprocal(scores: Floats, relevant: NDArray[np.bool_]) -> Floats:
    """Reciprocal rank of the best right candidate [texts], 0 without one."""
    order = np.argsort(-scores, axis=1, kind="stable")
    right = np.take_along_axis(relevant, order, axis=1)
    rank = np.where(right.any(axis=1), right.argmax(axis=1) + 1.0, np.inf)
    reciprocal: Floats = 1.0 / rank
    return reciprocal
