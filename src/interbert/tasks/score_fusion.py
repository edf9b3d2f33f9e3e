"""How much the joint pass and the dual encoder are each worth: a logistic fit on held-out pairs.

The two make different mistakes, so together they rank better than either. Their mixture is fitted after training:
added while training, the dual encoder's score would be that of pairs it has learnt by heart, and the joint pass would
learn to lean on a certainty that new pairs do not have.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from interbert.model.modeling import InterBertForImageTextRetrieval, InterBertForPreTraining
from interbert.tasks.metrics import Estimate, best_ranks, estimates, group_means

Floats = NDArray[np.floating]
_RESAMPLINGS = 1000
_RIDGE = 1e-3  # keeps the fit finite when the pairs are separable
_TOLERANCE = 1e-13  # of the gradient: the same weights everywhere, to the last digit of float32
_CONSTANT = 1e-6
"""A score that varies by less than this share of its size tells nothing: scaled up, rounding would be all of it."""


@dataclass(frozen=True)
class ScoreFusion:
    """Log-odds of a match: joint * (joint logit difference) + dual * cosine + offset."""

    joint: float
    dual: float
    offset: float

    def __call__(self, joint: Floats, cosines: Floats) -> Floats:
        """Mixed scores."""
        mixed: Floats = self.joint * joint + self.dual * cosines + self.offset
        return mixed


def fit_score_fusion(joint: Floats, cosines: Floats, relevant: NDArray[np.bool_]) -> ScoreFusion | None:
    """Logistic regression; neither part gets a negative weight.

    None where there is nothing to fit: all candidates are right or all wrong, or neither score varies.

    Args:
        joint: [texts, k] joint logit differences of each text's candidates.
        cosines: [texts, k] the dual encoder's of the same.
        relevant: bool [texts, k].
    """
    features = np.stack([joint.ravel(), cosines.ravel()], axis=1).astype(np.float64)
    labels = relevant.ravel().astype(np.float64)
    if labels.all() or not labels.any() or not _varies(features).any():
        return None
    used = [0, 1]
    while used:
        weights = _logistic(features[:, used], labels)
        worst = int(np.argmin(weights[:-1]))
        if weights[worst] >= 0:
            both = dict(zip(used, weights[:-1].tolist(), strict=True))
            return ScoreFusion(both.get(0, 0.0), both.get(1, 0.0), float(weights[-1]))
        del used[worst]
    return ScoreFusion(1.0, 0.0, 0.0)


def calibration(joint: Floats, relevant: NDArray[np.bool_]) -> ScoreFusion:
    """How far to stretch and shift joint logit differences so that they are log-odds of these pairs.

    Args:
        joint: [texts, k] joint logit differences of each text's candidates.
        relevant: bool [texts, k].
    """
    stretch, offset = _logistic(joint.reshape(-1, 1).astype(np.float64), relevant.ravel().astype(np.float64))
    if stretch > 0:
        return ScoreFusion(float(stretch), 0.0, float(offset))
    return ScoreFusion(1.0, 0.0, -float(joint.mean()))  # it knows no order: at least it should favour no side


def _varies(features: Floats) -> NDArray[np.bool_]:
    """Whether each column [k] does, by more than rounding."""
    size = np.abs(features).max(axis=0, initial=0.0)
    varies: NDArray[np.bool_] = features.std(axis=0) > np.maximum(_CONSTANT * size, 1e-9)
    return varies


def _logistic(features: Floats, labels: Floats) -> Floats:
    """Weights of the columns and, last, the offset; zeros where all labels are equal."""
    from sklearn.linear_model import LogisticRegression

    spread = np.where(_varies(features), features.std(axis=0), np.inf)  # a constant column gets no weight
    if labels.min() == labels.max():
        return np.zeros(len(spread) + 1)
    x = np.concatenate([features / spread, np.ones((len(features), 1))], axis=1)
    fit = LogisticRegression(C=1 / _RIDGE, fit_intercept=False, solver="newton-cholesky", tol=_TOLERANCE)
    weights: Floats = fit.fit(x, labels).coef_[0]
    weights[:-1] /= spread
    return weights


@dataclass(frozen=True)
class FusionFit:
    """What validation pairs say of joint and dual scores."""

    mixture: ScoreFusion
    """Of both."""
    dual: ScoreFusion | None
    """Of the dual score alone; None where it tells nothing."""
    gain: Estimate
    """Of the mixture over the dual score alone: :func:`gain_of_joint`."""

    @property
    def chosen(self) -> ScoreFusion:
        """What a finished model has: without the joint score where that is no gain beyond chance."""
        if self.gain.low > 0 or self.dual is None or not self.dual.dual:
            return self.mixture
        return self.dual


def fit_both(
    joint: Floats, cosines: Floats, relevant: NDArray[np.bool_], groups: NDArray[np.integer]
) -> FusionFit | None:
    """Mixture, dual score alone and their difference; None as of :func:`fit_score_fusion`.

    Args:
        joint, cosines, relevant: as there.
        groups: [texts], equal for texts of one image.
    """
    mixture = fit_score_fusion(joint, cosines, relevant)
    if mixture is None:
        return None
    dual = fit_score_fusion(np.zeros_like(cosines), cosines, relevant)
    return FusionFit(mixture, dual, gain_of_joint(joint, cosines, relevant, groups))


def gain_of_joint(
    joint: Floats, cosines: Floats, relevant: NDArray[np.bool_], groups: NDArray[np.integer], seed: int = 0
) -> Estimate:
    """What the mixture's order of the candidates is better than the dual encoder's: reciprocal rank, paired.

    The images are halved by chance, and each half's texts are ranked by the mixture that the other half gives; images
    are resampled, of which each counts with the mean over its texts. The reciprocal rank, of which recall at 1 sees
    the first place alone, tells smaller gains from chance.

    Args:
        joint, cosines, relevant: as of :func:`fit_score_fusion`; a text without a right candidate counts as no gain.
        groups: [texts], equal for texts of one image.
        seed: of the halves and the resampling.
    """
    gains = np.zeros(len(joint))
    _, image = np.unique(groups, return_inverse=True)
    half = (np.random.default_rng(seed).permutation(int(image.max()) + 1) % 2 == 0)[image]
    for fitted, judged in ((half, ~half), (~half, half)):
        mixture = fit_score_fusion(joint[fitted], cosines[fitted], relevant[fitted])
        told = judged & relevant.any(axis=1)
        if mixture is not None and told.any():
            before, after = (
                1.0 / best_ranks(scores, relevant[told])
                for scores in (cosines[told], mixture(joint[told], cosines[told]))
            )
            gains[told] = after - before
    return estimates({"gain": group_means(gains, groups)}, _RESAMPLINGS, seed)["gain"]


@torch.no_grad()
def build_in(model: InterBertForImageTextRetrieval | InterBertForPreTraining, mixture: ScoreFusion) -> None:
    """Make the mixture the model's own matching logit difference, in its matching head and configuration.

    A mixture without a joint part leaves the head as it is: the model does not read pairs jointly then.
    """
    if mixture.joint == 0 and mixture.dual:
        model.config.dual_score_weight, model.config.dual_score_offset = mixture.dual, mixture.offset
        return
    head = model.matching_head
    head.weight.mul_(mixture.joint)
    head.bias.mul_(mixture.joint)
    head.bias[0] += mixture.offset / 2
    head.bias[1] -= mixture.offset / 2
    model.config.dual_score_weight = mixture.dual or None
