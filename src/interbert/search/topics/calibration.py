"""From scores to the probability that a product belongs to a topic, fitted on validation pairs.

Shapes: p pairs of a topic and an image.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[Any]

LIKELY = 0.5
"""What is rather right than wrong is shown, when nothing else is asked for."""
_SUREST = 0.01


@dataclass(frozen=True)
class Calibration:
    """Logistic regression (Platt 2000) on what the examples and the joint model say.

    It is fitted on topics made of titles, and titles do not say all that is true of a product: many a blue shirt is
    sold as "striped". So its labels are positive and unlabelled ones, and what it gives is divided by the share of
    right products whose titles say so (Elkan and Noto 2008), estimated where the scores are surest.
    """

    transfer: float
    """What the examples' log counts; not negative."""
    joint: float
    """What the joint model's log-odds count; not negative."""
    bias: float
    said: float = 1.0
    """Share of right products whose titles say so."""
    relevant: float = 0.0
    """Share of right items among the validation items with a probability of a half or more, so corrected too."""
    topics: int = 0
    """Made topics that it was fitted on."""
    pairs: int = 0
    brier: float = 0.0
    """Mean squared error of the regression on those pairs."""

    def logit(self, transfer: Floats, joint: Floats) -> Floats:
        """Log-odds [p] that titles of such images say the topic; what pages are ordered by."""
        logits: Floats = self.transfer * transfer + self.joint * joint + self.bias
        return logits

    def probability(self, logits: Floats) -> Floats:
        """Of images [p] with these log-odds to belong to their topics."""
        likely: Floats = (probabilities(logits) / self.said).clip(max=1.0)
        return likely


UNCALIBRATED = Calibration(transfer=0.0, joint=1.0, bias=0.0)
"""The joint model's own log-odds, where nothing was fitted."""


def probabilities(logits: Floats) -> Floats:
    """Of log-odds [p]."""
    likely: Floats = 1 / (1 + np.exp(-np.asarray(logits, dtype=np.float64).clip(-60, 60)))
    return likely


def fit_calibration(transfer: Floats, joint: Floats, relevant: NDArray[np.bool_], topics: int) -> Calibration:
    """Fit the probability of being right.

    A score that would count negatively is left out: what looks more like a topic is never less likely part of it.

    Args:
        transfer: [p], of :meth:`~interbert.search.topics.examples.Examples.transfer`.
        joint: [p], log-odds of the joint model.
        right: [p], whether the image's title says the topic; both values occur.
        topics: how many they are of.
    """
    from sklearn.linear_model import LogisticRegression

    scores = np.stack([transfer, joint], axis=1).astype(np.float64)
    used = np.full(2, True)
    weights, bias = np.zeros(2), float(np.log(relevant.mean() / (1 - relevant.mean())))
    while used.any():
        fitted = LogisticRegression(C=1e4, max_iter=1000).fit(scores[:, used], relevant)
        weights = np.zeros(2)
        weights[used], bias = fitted.coef_[0], float(fitted.intercept_[0])
        if (weights >= 0).all():
            break
        used[int(weights.argmin())] = False
    weights = weights.clip(min=0)
    likely = probabilities(scores @ weights + bias)
    surest = np.argsort(-likely, kind="stable")[: max(round(_SUREST * len(likely)), min(len(likely), 30))]
    said = float(max(relevant[surest].mean(), 1e-3))
    shown = likely / said >= LIKELY
    return Calibration(
        transfer=float(weights[0]),
        joint=float(weights[1]),
        bias=bias,
        said=said,
        relevant=float(min(relevant[shown].mean() / said, 1.0)) if shown.any() else 0.0,
        topics=topics,
        pairs=len(relevant),
        brier=float(np.mean(np.square(likely - relevant))),
    )
