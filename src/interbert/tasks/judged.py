"""What a validation found of each unit that it judged, so that two models are compared on the same units.

Shapes: n units (images with all of their texts, or items), which are independent of each other.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from interbert.tasks.metrics import Estimate

Float64 = NDArray[np.float64]

_RESAMPLINGS = 1000
_MOST_UNITS = 10_000
"""More are joined to so many, which a checkpoint keeps."""
_AT_ONCE = 4_000_000
"""Draws held in memory at a time."""


@dataclass(frozen=True)
class Judged:
    """A metric as the sum of ``sums`` [n] over the sum of ``counts`` [n].

    Attributes:
        sums: of each unit's values, in per cent.
        counts: of each unit's values.
    """

    sums: Float64
    counts: Float64

    @classmethod
    def of(cls, values: NDArray[np.floating] | NDArray[np.bool_], units: NDArray[np.integer] | None = None) -> Judged:
        """From values between 0 and 1.

        Args:
            values: [m], such as whether each text's first image is right.
            units: [m] the unit that each belongs to; each is one of its own when not given.
        """
        shares = 100.0 * np.asarray(values, dtype=np.float64)
        place = np.arange(len(shares)) if units is None else np.unique(units, return_inverse=True)[1]
        place = place % _MOST_UNITS
        return cls(np.bincount(place, shares).astype(np.float64), np.bincount(place).astype(np.float64))

    def estimate(self, less: Judged | None = None, seed: int = 0) -> Estimate:
        """The metric with the 95% interval of a bootstrap over units, or what it is more than another model's.

        Args:
            less: the other model's, of the same units.
            seed: of the resampling.
        """
        sums = self.sums if less is None else self.sums - less.sums
        value = float(sums.sum() / self.counts.sum())
        n = len(sums)
        if n < 2:
            return Estimate(value, value, value)
        generator, found = np.random.default_rng(seed), []
        block = max(1, _AT_ONCE // n)
        for start in range(0, _RESAMPLINGS, block):
            drawn = generator.integers(0, n, (min(block, _RESAMPLINGS - start), n))
            found.append(sums[drawn].sum(axis=1) / self.counts[drawn].sum(axis=1))
        low, high = np.percentile(np.concatenate(found), [2.5, 97.5])
        return Estimate(value, float(low), float(high))
