"""The heads that the upper layers learn with, thrown away afterwards: two small ones that an image's and a text's
vector meet in, and a linear one for each column of the catalogue."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from interbert.model.configuration import InterBertConfig
from interbert.model.dropout import Dropout
from interbert.model.modeling import ContrastiveHead, Pooler


class ProjectionHeads(nn.Module):
    """The model's own contrastive head, on one vector an image and one a text.

    Args:
        config: sizes; ``contrastive_size`` is set.
        mean: [F] of the pooled features.
        std: [F].
        dropout: share of features, text vectors and words left out in training.
    """

    def __init__(self, config: InterBertConfig, mean: Tensor, std: Tensor, dropout: float) -> None:
        super().__init__()
        self.mean: Tensor
        self.std: Tensor
        self.register_buffer("mean", mean)
        self.register_buffer("std", std)
        self.dropout = Dropout(dropout)
        self.image = nn.Sequential(
            nn.Linear(config.region_feature_size, config.hidden_size),
            nn.LayerNorm(config.hidden_size),
            Dropout(dropout),
            nn.Linear(config.hidden_size, config.pooler_size),
            nn.ReLU(),
        )
        self.text_pooler = Pooler(config)
        self.head = ContrastiveHead(config)
        nn.init.orthogonal_(self.head.text_projection.weight)
        with torch.no_grad():
            self.head.image_projection.weight.copy_(self.head.text_projection.weight)

    @property
    def scale(self) -> Tensor:
        """What multiplies the cosines."""
        return self.head.scale

    def standardised(self, features: Tensor) -> Tensor:
        """Pooled features [B,F] on the scale of the network as it was; in training a share is left out."""
        left: Tensor = self.dropout((features - self.mean) / self.std)
        return left

    def images(self, features: Tensor) -> Tensor:
        """Pooled features [B,F] -> unit vectors [B,D]."""
        return self.head.image(self.image(self.standardised(features)))

    def texts(self, vectors: Tensor, input_ids: Tensor, mask: Tensor) -> Tensor:
        """The BERT's vectors [B,H] and the tokens [B,T] -> unit vectors [B,D]."""
        assert self.head.lexical is not None
        words = self.head.lexical(input_ids, mask, self.dropout.p)
        return self.head.text(self.text_pooler(self.dropout(vectors).unsqueeze(1)), words)


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
