"""Telling images by the columns of the catalogue: a linear head for each column, thrown away afterwards.

Titles leave much of a product unsaid, so a network that learns titles alone may lose what it is for or whom it is for;
columns say it of every product.

Shapes: n images, B batch, A columns, F pooled features.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

UNKNOWN = -1
_FARTHEST = 20.0
"""Standard deviations: a feature that hardly varies in a small catalogue must not outweigh all others as it learns."""


@dataclass(frozen=True)
class Attributes:
    """Values of images' columns as numbers."""

    columns: tuple[str, ...]
    """[A] names; empty where none were read."""
    values: tuple[tuple[str, ...], ...]
    """[A] the different values of each column, sorted."""
    numbers: NDArray[np.int64]
    """[n,A] place among its column's values; UNKNOWN where there is none."""

    @classmethod
    def none(cls, images: int) -> Attributes:
        """Of images whose columns were not read."""
        return cls((), (), np.empty((images, 0), dtype=np.int64))

    @classmethod
    def of(cls, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> Attributes:
        """Of rows of values [n, columns], "" where one is not known; columns of which none is known are left out."""
        values = [tuple(sorted({row[place] for row in rows} - {""})) for place in range(len(columns))]
        there = [place for place, known in enumerate(values) if known]
        kept = tuple(values[place] for place in there)
        return cls(tuple(columns[place] for place in there), kept, _numbers(values, rows)[:, there])

    def among(self, rows: Sequence[Sequence[str]]) -> Attributes:
        """Other rows by the values of these; what these have not is not known."""
        return Attributes(self.columns, self.values, _numbers(self.values, rows))


def _numbers(values: Sequence[Sequence[str]], rows: Sequence[Sequence[str]]) -> NDArray[np.int64]:
    places = [{value: place for place, value in enumerate(column)} for column in values]
    found = np.full((len(rows), len(values)), UNKNOWN, dtype=np.int64)
    for number, row in enumerate(rows):
        for column, value in enumerate(row):
            found[number, column] = places[column].get(value, UNKNOWN)
    return found


class AttributeHead(nn.Module):
    """What pooled features say of each column.

    Args:
        features: F.
        sizes: [A] number of different values of each column.
    """

    def __init__(self, features: int, sizes: Sequence[int]) -> None:
        super().__init__()
        self.linear = nn.Linear(features, sum(sizes))
        self._bounds = [0, *accumulate(sizes)]

    def forward(self, features: Tensor) -> list[Tensor]:
        """Standardised features [B,F] -> logits of each column."""
        logits = self.linear(features.clamp(-_FARTHEST, _FARTHEST))
        return [logits[:, start:end] for start, end in zip(self._bounds, self._bounds[1:], strict=False)]

    def loss(self, features: Tensor, numbers: Tensor) -> Tensor:
        """Mean over columns of the mean cross-entropy of the images whose value is known.

        Args:
            features: [B,F].
            numbers: [B,A], UNKNOWN where a value is not known.
        """
        losses = [
            nn.functional.cross_entropy(logits, wanted, ignore_index=UNKNOWN, reduction="sum")
            / (wanted != UNKNOWN).sum().clamp(min=1)
            for logits, wanted in zip(self(features), numbers.T, strict=True)
        ]
        return torch.stack(losses).mean()

    def correct(self, features: Tensor, numbers: Tensor) -> Tensor:
        """Of each column, how many images have the likeliest value; [A]."""
        return torch.stack(
            [(logits.argmax(dim=1) == wanted).sum() for logits, wanted in zip(self(features), numbers.T, strict=True)]
        )
