"""How much the dual encoder's opinion is worth when fine-tuning starts: a logistic fit on held-out pairs."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from interbert.model.modeling import InterBertForImageTextRetrieval

_HARD = 2
"""Hard negatives per true pair; one random one comes with them, as in training."""
_AMONG = 16
"""The hard ones are drawn from so many best wrong pictures."""


def fit_prior(
    cosines: NDArray[np.floating], relevant: NDArray[np.bool_], seed: int = 0, steps: int = 50
) -> tuple[float, float]:
    """Weight and offset that make weight * cosine + offset the log-odds of a match.

    Logistic regression by Newton's method over the true pairs, two hard negatives and a random one for each text.

    Args:
        cosines: [texts, pictures] of a dual encoder.
        relevant: bool [texts, pictures].
        seed: of the negatives.
        steps: of Newton's method.
    """
    generator = np.random.default_rng(seed)
    values: list[float] = []
    labels: list[float] = []
    for line, right in zip(cosines, relevant, strict=True):
        wrong = np.flatnonzero(~right)
        if not len(wrong):
            continue
        best = wrong[np.argsort(-line[wrong], kind="stable")[:_AMONG]]
        chosen = [int(generator.choice(best)) for _ in range(_HARD)] + [int(generator.choice(wrong))]
        values += [float(line[right].max()), *(float(line[index]) for index in chosen)]
        labels += [1.0] + [0.0] * len(chosen)
    x = np.stack([np.array(values), np.ones(len(values))], axis=1)
    y = np.array(labels)
    weights = np.zeros(2)
    ridge = 1e-3 * np.eye(2)  # keeps the fit finite when the pairs are separable
    for _ in range(steps):
        p = 1.0 / (1.0 + np.exp(-(x @ weights).clip(-30, 30)))
        gradient = x.T @ (p - y) + ridge @ weights
        curvature = (x * (p * (1 - p))[:, None]).T @ x + ridge
        weights = weights - np.linalg.solve(curvature, gradient)
    return max(float(weights[0]), 0.0), float(weights[1])


@torch.no_grad()
def set_prior(model: InterBertForImageTextRetrieval, weight: float, offset: float) -> None:
    """Let the matching logit difference start as weight * cosine + offset plus what the joint pass says."""
    model.config.dual_prior = weight
    model.matching_head.bias[0] += offset / 2
    model.matching_head.bias[1] -= offset / 2
