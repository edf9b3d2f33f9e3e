"""From scores to the probability that a product belongs to a topic, fitted on validation pairs; how many to show.

Shapes: p pairs of a topic and an image, n candidates.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

Floats = NDArray[Any]

_SUREST = 0.01
"""Share of the pairs, and at least so many as below, that the label frequency is estimated on."""
_SUREST_LEAST = 30


@dataclass(frozen=True)
class Calibration:
    """Logistic regression (Platt 2000) on transferred labels, corrected by the label frequency.

    It is fitted on topics made of titles, and titles do not say all that is true of a product: many a blue shirt is
    sold as "striped". So its labels are positive and unlabelled ones, and what it gives is divided by the label
    frequency, estimated where the scores are highest (Elkan and Noto 2008).
    """

    weight: float
    """Of the log of the transferred label; not negative."""
    bias: float
    label_frequency: float = 1.0
    """Share of relevant products whose titles say so."""
    precision: float = 0.0
    """Of the validation items with a probability of a half or more; corrected, too."""
    topics: int = 0
    """Made topics that it was fitted on."""
    pairs: int = 0
    brier: float = 0.0
    """Mean squared error of the regression on those pairs."""

    def logit(self, transfer: Floats) -> Floats:
        """Log-odds [p] that titles of such images say the topic; what pages are ordered by."""
        logits: Floats = self.weight * transfer + self.bias
        return logits

    def probability(self, logits: Floats) -> Floats:
        """Of images [p] with these log-odds to belong to their topics."""
        likely: Floats = (expit(logits) / self.label_frequency).clip(max=1.0)
        return likely


def fit_calibration(transfer: Floats, relevant: NDArray[np.bool_], topics: int) -> Calibration:
    """Fit the probability of being relevant.

    Args:
        transfer: [p], of :meth:`~interbert.topics.examples.Examples.transfer`.
        relevant: [p], whether the image's title says the topic; both values occur.
        topics: how many they are of.
    """
    from sklearn.linear_model import LogisticRegression

    fitted = LogisticRegression(C=1e4, max_iter=1000).fit(transfer[:, None].astype(np.float64), relevant)
    found = Calibration(max(float(fitted.coef_[0, 0]), 0.0), float(fitted.intercept_[0]))
    likely = expit(found.logit(transfer))
    surest = np.argsort(-likely, kind="stable")[: max(round(_SUREST * len(likely)), min(len(likely), _SUREST_LEAST))]
    frequency = float(max(relevant[surest].mean(), 1e-3))
    shown = likely / frequency >= 0.5
    return Calibration(
        weight=found.weight,
        bias=found.bias,
        label_frequency=frequency,
        precision=float(min(relevant[shown].mean() / frequency, 1.0)) if shown.any() else 0.0,
        topics=topics,
        pairs=len(relevant),
        brier=float(np.mean(np.square(likely - relevant))),
    )


def likely_count(likely: Floats, min_probability: float | None) -> int:
    """How many of the likeliest candidates a page may show.

    Args:
        likely: probabilities [n], falling.
        min_probability: that each must have. When None, the count with the largest expected F1, 2 x relevant shown /
            (shown + relevant): of sure topics it leaves out what is likelier wrong than right, of unsure ones it shows
            the best there is (Lipton, Elkan and Narayanaswamy 2014).
    """
    if min_probability is not None:
        return int((likely >= min_probability).sum())
    shown = np.arange(1, len(likely) + 1)
    return int(np.argmax(2 * likely.cumsum() / (shown + likely.sum()))) + 1 if len(likely) else 0


def diversified(
    likely: Floats, vectors: Floats, facets: Sequence[Sequence[Hashable]], trade: float, count: int
) -> list[int]:
    """Choose items one by one, each for its probability less what it repeats.

    Maximal marginal relevance (Carbonell and Goldstein 1998): the next item is the one with the largest
    ``(1 - trade) * probability - trade * repetition``. Repetition is the mean of the cosine to the most alike item on
    the page and, for each facet, the share of the page that has the same value. Ties go to the earlier candidate.

    Args:
        likely: probability [n] of each candidate.
        vectors: [n,D], of length 1.
        facets: of each facet, such as brand, the value of each candidate; None values repeat nothing.
        trade: 0 orders by probability alone, 1 by novelty alone.
        count: how many to choose.

    Returns:
        places of the chosen, in their order.
    """
    left = np.ones(len(likely), dtype=bool)
    chosen: list[int] = []
    nearest = np.zeros(len(likely))
    seen: list[Counter[Hashable]] = [Counter() for _ in facets]
    while len(chosen) < min(count, len(likely)):
        repeats = nearest.copy()
        for values, counter in zip(facets, seen, strict=True):
            repeats += np.array([counter[value] for value in values]) / max(len(chosen), 1)
        repeats /= 1 + len(facets)
        worth = np.where(left, (1 - trade) * likely - trade * repeats, -np.inf)
        best = int(np.argmax(worth))
        left[best] = False
        chosen.append(best)
        nearest = np.maximum(nearest, vectors @ vectors[best])
        for values, counter in zip(facets, seen, strict=True):
            if values[best] is not None:
                counter[values[best]] += 1
    return chosen
