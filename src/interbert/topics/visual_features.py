"""What images show, by their regions: evidence beside the dual encoder's vectors, which keep what titles told apart.

Shapes: n examples, m images, R image tokens (global token first), H hidden size, P components.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from interbert.search.vectors import unit_rows

Float32 = NDArray[np.float32]

_COMPONENTS = 512


def pooled_visual_features(tokens: Sequence[Float32]) -> Float32:
    """Of embedded tokens [R,H] of each of m images, their mean and the global one: [m,2H]."""
    return np.stack([np.concatenate([one.mean(axis=0), one[0]]) for one in tokens]).astype(np.float32)


class VisualFeatureSpace:
    """Principal components of pooled tokens, each divided by the square root of its standard deviation.

    Args:
        pooled: [n,2H], of the examples.
    """

    def __init__(self, pooled: Float32) -> None:
        from sklearn.decomposition import PCA

        count = max(min(_COMPONENTS, len(pooled) - 1, pooled.shape[1]), 1)
        self._pca = PCA(count, svd_solver="covariance_eigh").fit(pooled)
        deviation = np.sqrt(self._pca.explained_variance_)
        self._scale = 1 / np.sqrt(deviation.clip(min=1e-6 * max(float(deviation.max()), 1e-6)))
        self.known = self.project(pooled)
        """[n,P], of the examples."""

    def project(self, pooled: Float32) -> Float32:
        """Of pooled tokens [m,2H], the components, with length 1; [m,P]."""
        return unit_rows((self._pca.transform(pooled) * self._scale).astype(np.float32))
