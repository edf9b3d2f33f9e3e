"""From scores to the probability that a product belongs to a topic, fitted on validation pairs.

Shapes: p pairs of a topic and a picture.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[Any]

_SURE = 0.9
"""Share of right items among those that a page shows, by default."""


@dataclass(frozen=True)
class Calibration:
    """Logistic regression of relevance (Platt 2000) on what the examples and the joint model say.

    How well a topic's own examples agree stands beside them: pictures can show "watches" but hardly a brand, and what
    is likely for the one is not for the other. It is the same for all products of a topic, so it moves no order.
    """

    transfer: float
    """What the examples' log counts; not negative."""
    joint: float
    """What the joint model's log-odds count; not negative."""
    bias: float
    agreement: float = 0.0
    """What the log of the topic's agreement counts; not negative."""
    least: float = 0.5
    """Probability from which nine of ten validation items were right."""
    topics: int = 0
    """Made topics that it was fitted on."""
    pairs: int = 0
    brier: float = 0.0
    """Mean squared error of the probabilities on those pairs."""

    def logit(self, transfer: Floats, joint: Floats, agreement: Floats | float = 0.0) -> Floats:
        """Log-odds [p] that pictures belong to their topics; what pages are ordered by."""
        logits: Floats = self.transfer * transfer + self.joint * joint + self.agreement * agreement + self.bias
        return logits


UNCALIBRATED = Calibration(transfer=0.0, joint=1.0, bias=0.0)
"""The joint model's own log-odds, where nothing was fitted."""


def probabilities(logits: Floats) -> Floats:
    """Of log-odds [p]."""
    likely: Floats = 1 / (1 + np.exp(-np.asarray(logits, dtype=np.float64).clip(-60, 60)))
    return likely


def fit_calibration(
    transfer: Floats, joint: Floats, agreement: Floats, right: NDArray[np.bool_], topics: int
) -> Calibration:
    """Fit the probability of being right.

    A score that would count negatively is left out: what looks more like a topic is never less likely part of it.

    Args:
        transfer: [p], of :meth:`~interbert.search.topics.examples.Neighbourhood.transfer`.
        joint: [p], log-odds of the joint model.
        agreement: [p], of :meth:`~interbert.search.topics.examples.Examples.agreement` of each pair's topic.
        right: [p], whether the picture belongs to the topic.
        topics: how many they are of.
    """
    from sklearn.linear_model import LogisticRegression

    scores = np.stack([transfer, joint, agreement], axis=1).astype(np.float64)
    used = np.full(3, True)
    weights, bias = np.zeros(3), float(np.log(right.mean() / (1 - right.mean())))
    while used.any():
        fitted = LogisticRegression(C=1e4, max_iter=1000).fit(scores[:, used], right)
        weights = np.zeros(3)
        weights[used], bias = fitted.coef_[0], float(fitted.intercept_[0])
        if (weights >= 0).all():
            break
        used[int(weights.argmin())] = False
    weights = weights.clip(min=0)
    likely = probabilities(scores @ weights + bias)
    return Calibration(
        transfer=float(weights[0]),
        joint=float(weights[1]),
        agreement=float(weights[2]),
        bias=bias,
        least=least_probability(likely, right),
        topics=topics,
        pairs=len(right),
        brier=float(np.mean(np.square(likely - right))),
    )


def least_probability(likely: Floats, right: NDArray[np.bool_], sure: float = _SURE) -> float:
    """The smallest probability from which at least a share ``sure`` of the items [p] is right; 1 when there is none."""
    order = np.argsort(-likely, kind="stable")
    precision = np.cumsum(right[order]) / np.arange(1, len(order) + 1)
    enough = np.flatnonzero(precision >= sure)
    return float(likely[order[enough[-1]]]) if len(enough) else 1.0
