"""Texts or images with a label each: examples and batches of a classifier."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from interbert.data.collation import image_tensors, text_tensors
from interbert.data.sampling import SampleKey
from interbert.region_arrays import RegionArrays


@dataclass(frozen=True)
class LabelledItem:
    """One item: a text, an image, or both."""

    ids: tuple[int, ...] | None
    """Token ids with [CLS] and [SEP]."""
    image: RegionArrays | None
    label: int

    @property
    def tokens(self) -> int:
        """Text and image tokens together."""
        return len(self.ids or ()) + (0 if self.image is None else len(self.image[0]))


class LabelledItems(Dataset[LabelledItem]):
    """Items by sample key."""

    def __init__(self, items: Sequence[LabelledItem]) -> None:
        self.items = list(items)

    @property
    def lengths(self) -> list[int]:
        """Tokens of each item."""
        return [one.tokens for one in self.items]

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, key: SampleKey) -> LabelledItem:
        return self.items[key.pair]


class LabelledCollator:
    """Batches of the classification task.

    Args:
        pad_id: id of [PAD].
    """

    def __init__(self, pad_id: int) -> None:
        self._pad_id = pad_id

    def __call__(self, items: Sequence[LabelledItem]) -> dict[str, Tensor]:
        """Inputs and where they are padded; labels int64 [B]."""
        batch: dict[str, Any] = {"labels": torch.tensor([one.label for one in items])}
        texts: list[NDArray[np.int64]] = [np.array(one.ids, dtype=np.int64) for one in items if one.ids is not None]
        images = [one.image for one in items if one.image is not None]
        if texts:
            batch |= text_tensors(texts, self._pad_id)
        if images:
            batch |= image_tensors(images)
        return batch
