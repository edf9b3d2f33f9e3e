"""Examples to what a model reads, one or a batch of them.

Shapes: R image tokens (global token first), F region feature size.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from interbert.data.collation import image_tensors, pad, text_tensors
from interbert.data.sampling import SampleKey
from interbert.losses.pretraining import flat_positions
from interbert.model.processing import InterBertProcessor
from interbert.model.region_inputs import GLOBAL_LOCATION
from interbert.utils.stored_names import RegionArrays
from interbert.vl_tasks.example import Example
from interbert.vl_tasks.heads import Head
from interbert.vl_tasks.image_regions import TaskRegions
from interbert.vl_tasks.texts import TokenizedText, tokenized


@dataclass(frozen=True)
class VLItem:
    """An example as a model reads it."""

    texts: tuple[TokenizedText, ...]
    images: tuple[RegionArrays, ...]
    target: NDArray[np.float32] | int | None
    """As the head wants it; None in a blind test."""
    boxes: NDArray[np.float32]
    """[R-1,4] of the first image's regions in pixels; empty when no image is read."""


class VLItems(Dataset[VLItem]):
    """Items by sample key or place; regions are read when they are asked for.

    Args:
        examples: whose images the regions have.
        processor: the model's.
        regions: of the images; None reads no image.
        head: turns targets into numbers.
        mean_image: feature [F] that every region gets instead of its own: a control. Where regions are chosen they
            keep their places; else the image is that feature alone.
    """

    def __init__(
        self,
        examples: Sequence[Example],
        processor: InterBertProcessor,
        regions: TaskRegions | None,
        head: Head,
        mean_image: NDArray[np.float32] | None = None,
    ) -> None:
        self.examples = list(examples)
        self._processor = processor
        self._regions = regions
        self._head = head
        self._mean_image = mean_image

    def __len__(self) -> int:
        return len(self.examples)

    @property
    def lengths(self) -> list[int]:
        """About as many as each item's text tokens: characters of its longest text; sorting by them saves padding."""
        return [
            max(map(len, one.texts), default=0) + max(map(len, one.second_texts), default=0) for one in self.examples
        ]

    @property
    def choices(self) -> list[int]:
        """Texts of each item."""
        return [len(one.texts) for one in self.examples]

    def __getitem__(self, key: SampleKey) -> VLItem:
        return self.__getitems__([key])[0]

    def __getitems__(self, keys: Sequence[SampleKey]) -> list[VLItem]:
        """Items of a batch; the store is read once."""
        return self.at([key.pair for key in keys])

    def at(self, places: Sequence[int]) -> list[VLItem]:
        """Items at places, in their order."""
        chosen = [self.examples[place] for place in places]
        texts = tokenized(self._processor, chosen)
        names = [image for one in chosen for image in one.images]
        if self._regions is None:
            return [
                VLItem(own, (), self._head.target(one, _NONE), _NONE) for own, one in zip(texts, chosen, strict=True)
            ]
        unique = list(dict.fromkeys(names))
        found = dict(zip(unique, self._regions.take(unique), strict=True))
        arrays = {name: self._arrays(regions, name) for name, regions in found.items()}
        return [
            VLItem(
                own,
                tuple(arrays[image] for image in one.images),
                self._head.target(one, found[one.images[0]].boxes),
                found[one.images[0]].boxes,
            )
            for own, one in zip(texts, chosen, strict=True)
        ]

    def _arrays(self, regions: Any, name: str) -> RegionArrays:
        features, locations = self._processor.image_inputs(regions, f"image {name}")
        if self._mean_image is None:
            return features, locations
        if not self._head.of_regions:
            locations = np.array([GLOBAL_LOCATION] * 2, dtype=np.float32)
        return np.tile(self._mean_image, (len(locations), 1)), locations


_NONE = np.zeros((0, 4), dtype=np.float32)


class VLCollator:
    """Items to padded tensors: a reading is a text with an image; an item has several of several choices or images.

    Args:
        pad_id: id of [PAD].
        head: collates targets.
    """

    def __init__(self, pad_id: int, head: Head) -> None:
        self._pad_id = pad_id
        self._head = head

    def __call__(self, items: Sequence[VLItem]) -> dict[str, Tensor]:
        """Inputs of the trunk for all readings, and ``targets`` where every item has one.

        Of several images the readings have the item's text each. Several choices share the item's image, which is there
        once: ``image_of`` int64 [readings] says whose a reading's is, and ``real_regions`` is of the readings.
        """
        texts = [text for one in items for text in one.texts for _ in range(max(1, len(one.images)))]
        batch: dict[str, Tensor] = text_tensors([one.ids for one in texts], self._pad_id) if texts else {}
        if any(one.segments.any() for one in texts):
            batch["token_type_ids"] = pad([one.segments for one in texts])
        images = [image for one in items for image in one.images]
        if images:
            batch |= image_tensors(images)
        if images and len(texts) > len(images):
            owners = [place for place, one in enumerate(items) for _ in one.texts]
            batch["image_of"] = torch.tensor(owners)
            batch["real_regions"] = flat_positions(batch["region_mask"][batch["image_of"]] != 0)
        batch["items"] = torch.tensor(len(items))
        targets = [one.target for one in items if one.target is not None]
        if len(targets) == len(items):
            batch["targets"] = self._head.collate(targets)
        return batch
