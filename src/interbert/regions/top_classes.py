"""Class distributions as their K most probable classes and a remainder.

Shapes: N regions, C classes, K kept classes.

The remainder is the probability of all other classes together. Reading spreads it evenly over them, the rule for any
source that gives less than a distribution (SPEC part 2), so what is read is a distribution p' over all C classes and
the loss of masked region modeling stays KL(p' || predicted). Against the whole distribution p, for any prediction q::

    KL(p || q) - KL(p' || q) = (H(p') - H(p)) - sum over the other classes c of (p[c] - p'[c]) log q[c]

where H is the entropy. The first part is a constant: no gradient. The second one's gradient by the logits of q is
p' - p, which is zero at the K kept classes: what is lost is how the remainder is shared out among the others.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


def most_probable(class_probs: NDArray[Any], k: int) -> tuple[NDArray[np.uint16], NDArray[np.float16]]:
    """Keep K classes of each region; among equals the lower class id.

    Args:
        class_probs: [N,C], not negative; rounded to float16 first, so that any machine keeps the same classes.
        k: below C, which is at most 65,536.

    Returns:
        class ids [N,K], best first, and shares [N,K+1]: their probabilities, then the remainder.
    """
    rounded = np.abs(np.asarray(class_probs, dtype=np.float16))  # no negative zero: bits are compared below
    classes = rounded.shape[1]
    # one number per class that sorts by probability, then by id: a float16 above 0 sorts as its bits do
    order = (rounded.view(np.uint16).astype(np.uint32) << 16) | (0xFFFF - np.arange(classes, dtype=np.uint32))
    kept = -np.sort(-np.partition(order, classes - k, axis=1)[:, classes - k :].astype(np.int64), axis=1)
    shares = (kept >> 16).astype(np.uint16).view(np.float16)
    rest = rounded.sum(axis=1, dtype=np.float64) - shares.sum(axis=1, dtype=np.float64)
    ids = (0xFFFF - (kept & 0xFFFF)).astype(np.uint16)
    return ids, np.concatenate([shares, rest.clip(min=0)[:, None].astype(np.float16)], axis=1)


def spread(class_ids: NDArray[np.uint16], shares: NDArray[np.float16], classes: int) -> NDArray[np.float16]:
    """Distributions [N,C] from kept classes [N,K] and shares [N,K+1]: the remainder evenly over all others."""
    kept = class_ids.shape[1]
    each = (shares[:, -1:].astype(np.float32) / (classes - kept)).astype(np.float16)
    whole = np.repeat(each, classes, axis=1)
    np.put_along_axis(whole, class_ids.astype(np.int64), shares[:, :-1], axis=1)
    return whole
