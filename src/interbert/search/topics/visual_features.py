"""How images look, by their regions: evidence beside the dual encoder's vectors, which keep what titles told apart.

An image's look is made of its embedded region tokens, which an index keeps for reranking anyway. Looks are turned into
principal components, whose spread is evened out by half, and compared by cosine.

Shapes: n examples, m images, R image tokens (global token first), H hidden size, P components, L landmarks.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from interbert.search.vectors import unit_rows

Float32 = NDArray[np.float32]

_COMPONENTS = 512
_NARROWNESS = 2.0
"""Of the Gaussian kernel exp(-narrowness |x - y|^2) between looks of length 1."""
_PENALTY = 1.0
_LANDMARKS = 2048
"""Examples that the kernel is spanned by: with all of 12,497 the ranking is hardly better and a solution takes 20 s."""
_JITTER = 1e-6
"""Per example, against rounding: looks may be equal."""
_BLOCK = 1024


def pooled_visual_features(tokens: Sequence[Float32]) -> Float32:
    """Of embedded tokens [R,H] of each of m images, their mean and the global one: [m,2H]."""
    return np.stack([np.concatenate([one.mean(axis=0), one[0]]) for one in tokens]).astype(np.float32)


@dataclass(frozen=True)
class VisualFeatureSpace:
    """Principal components of the examples' looks."""

    mean: Float32
    """[2H]"""
    basis: Float32
    """[2H,P], each component divided by the square root of its standard deviation."""

    @classmethod
    def of(cls, pooled: Float32) -> VisualFeatureSpace:
        """Over the examples' pooled tokens [n,2H]."""
        mean = pooled.mean(axis=0)
        centred = (pooled - mean).astype(np.float64)
        variance, components = np.linalg.eigh(centred.T @ centred / max(len(pooled), 1))
        count = max(min(_COMPONENTS, len(pooled) - 1, len(variance)), 1)
        deviation = np.sqrt(variance[-count:].clip(min=0))
        largest = max(float(deviation.max()), 1e-12)
        basis = components[:, -count:] / np.sqrt(deviation.clip(min=1e-6 * largest))
        return cls(mean.astype(np.float32), basis.astype(np.float32))

    def project(self, pooled: Float32) -> Float32:
        """Of pooled tokens [m,2H], the components, with length 1; [m,P]."""
        centred: Float32 = pooled - self.mean
        return unit_rows(centred @ self.basis)


@dataclass(frozen=True)
class KernelRegression:
    """Kernel ridge regression from looks to anything that is known of the examples, spanned by some of them.

    With landmarks drawn at random it is the subset of regressors of Rudi, Camoriano and Rosasco 2015, "Less is more:
    Nyström computational regularization".
    """

    landmarks: Float32
    """[L,P]"""
    kernel: Float32
    """[n,L]"""
    factor: tuple[NDArray[Any], bool]
    """Cholesky factor [L,L] of the normal equations, as scipy gives it."""

    @classmethod
    def of(cls, visual_features: Float32) -> KernelRegression:
        """Over the examples' looks [n,P]; the same ones give the same landmarks."""
        from scipy.linalg import cho_factor

        landmarks = visual_features[np.random.default_rng(0).permutation(len(visual_features))[:_LANDMARKS]]
        kernel = _kernel(visual_features, landmarks)
        normal = _PENALTY * _kernel(landmarks, landmarks).astype(np.float64)
        for start in range(0, len(kernel), _BLOCK):  # summed in float64
            part = kernel[start : start + _BLOCK]
            normal += part.T @ part
        normal[np.diag_indices_from(normal)] += _JITTER * len(visual_features)
        return cls(landmarks, kernel, cho_factor(normal, overwrite_a=True))

    def predict(self, visual_features: Float32, values: Float32) -> Float32:
        """Of looks [m,P], given values [n] of the examples; [m]."""
        from scipy.linalg import cho_solve

        usual = values.mean()
        weights = cho_solve(self.factor, self.kernel.T @ (values - usual)).astype(np.float32)
        found: Float32 = _kernel(visual_features, self.landmarks) @ weights + usual
        return found


def _kernel(left: Float32, right: Float32) -> Float32:
    """Of looks of length 1: [n,P] and [m,P] -> [n,m]."""
    found: Float32 = np.exp((left @ right.T - 1) * np.float32(2 * _NARROWNESS))
    return found
