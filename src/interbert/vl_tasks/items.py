"""Examples to what a model reads, one or a batch of them.

Shapes: B items, N texts of an item (its choices), I images of an item, T text tokens, R image tokens.
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
from interbert.model.processing import InterBertProcessor
from interbert.model.region_inputs import GLOBAL_LOCATION
from interbert.utils.stored_names import RegionArrays
from interbert.vl_tasks.example import Example
from interbert.vl_tasks.heads import Head
from interbert.vl_tasks.image_regions import TaskRegions

_TEXTS = 4096
"""Texts that are tokenized at a time."""


@dataclass(frozen=True)
class TokenizedText:
    """A text of one or two parts, [CLS] and [SEP] included."""

    ids: NDArray[np.int64]
    segments: NDArray[np.int64]
    """0 in the first part, 1 in the second."""


@dataclass(frozen=True)
class VLItem:
    """An example as a model reads it."""

    texts: tuple[TokenizedText, ...]
    images: tuple[RegionArrays, ...]
    target: NDArray[np.float32] | int | None
    """As the head wants it; None in a blind test."""
    boxes: NDArray[np.float32]
    """[R-1,4] of the first image's regions in pixels; empty when no image is read."""


def tokenized(processor: InterBertProcessor, examples: Sequence[Example]) -> list[tuple[TokenizedText, ...]]:
    """Texts of each example, cut at the processor's ``max_text_tokens``: of two parts the longer one first."""
    flat: list[TokenizedText] = []
    pairs = [
        (text, one.second_texts[place] if one.second_texts else None)
        for one in examples
        for place, text in enumerate(one.texts)
    ]
    for start in range(0, len(pairs), _TEXTS):
        flat += _tokenized(processor, pairs[start : start + _TEXTS])
    found, at = [], 0
    for one in examples:
        found.append(tuple(flat[at : at + len(one.texts)]))
        at += len(one.texts)
    return found


def _tokenized(processor: InterBertProcessor, pairs: Sequence[tuple[str, str | None]]) -> list[TokenizedText]:
    single = [text for text, second in pairs if second is None]
    ids = iter(processor.texts_to_ids(single) if single else ())
    double = [(text, second) for text, second in pairs if second is not None]
    most = processor.max_text_tokens
    encoded: Any = {"input_ids": [], "token_type_ids": []}
    if double:
        encoded = processor.tokenizer(
            [text[: 64 * most] for text, _ in double],
            [second[: 64 * most] for _, second in double],
            truncation="longest_first",
            max_length=most,
            return_token_type_ids=True,
            return_attention_mask=False,
        )
    both = iter(zip(encoded["input_ids"], encoded["token_type_ids"], strict=True))
    found = []
    for _, second in pairs:
        if second is None:
            own = np.array(next(ids), dtype=np.int64)
            found.append(TokenizedText(own, np.zeros_like(own)))
        else:
            found.append(TokenizedText(*(np.array(part, dtype=np.int64) for part in next(both))))
    return found


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
        self._texts = tokenized(processor, self.examples)
        self._processor = processor
        self._regions = regions
        self._head = head
        self._mean_image = mean_image

    def __len__(self) -> int:
        return len(self.examples)

    @property
    def lengths(self) -> list[int]:
        """Text tokens of each item's longest text."""
        return [max((len(one.ids) for one in texts), default=0) for texts in self._texts]

    @property
    def choices(self) -> list[int]:
        """Texts of each item."""
        return [len(texts) for texts in self._texts]

    def __getitem__(self, key: SampleKey) -> VLItem:
        return self.__getitems__([key])[0]

    def __getitems__(self, keys: Sequence[SampleKey]) -> list[VLItem]:
        """Items of a batch; the store is read once."""
        return self.at([key.pair for key in keys])

    def at(self, places: Sequence[int]) -> list[VLItem]:
        """Items at places, in their order."""
        chosen = [self.examples[place] for place in places]
        names = [image for one in chosen for image in one.images]
        if self._regions is None:
            return [
                VLItem(self._texts[place], (), self._head.target(one, _NONE), _NONE)
                for place, one in zip(places, chosen, strict=True)
            ]
        unique = list(dict.fromkeys(names))
        found = dict(zip(unique, self._regions.take(unique), strict=True))
        arrays = {name: self._arrays(regions, name) for name, regions in found.items()}
        return [
            VLItem(
                self._texts[place],
                tuple(arrays[image] for image in one.images),
                self._head.target(one, found[one.images[0]].boxes),
                found[one.images[0]].boxes,
            )
            for place, one in zip(places, chosen, strict=True)
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
    """Items to padded tensors: a reading is a text with an image, N x I readings an item.

    Args:
        pad_id: id of [PAD].
        head: collates targets.
    """

    def __init__(self, pad_id: int, head: Head) -> None:
        self._pad_id = pad_id
        self._head = head

    def __call__(self, items: Sequence[VLItem]) -> dict[str, Tensor]:
        """Inputs of the trunk for all readings, and ``targets`` where every item has one.

        Of several choices the readings share the item's image, of several images its text.
        """
        texts = [text for one in items for text in one.texts for _ in range(max(1, len(one.images)))]
        batch: dict[str, Tensor] = text_tensors([one.ids for one in texts], self._pad_id) if texts else {}
        if any(one.segments.any() for one in texts):
            batch["token_type_ids"] = pad([one.segments for one in texts])
        images = [image for one in items for _ in one.texts or (None,) for image in one.images]
        if images:
            batch |= image_tensors(images)
        batch["items"] = torch.tensor(len(items))
        targets = [one.target for one in items if one.target is not None]
        if len(targets) == len(items):
            batch["targets"] = self._head.collate(targets)
        return batch
