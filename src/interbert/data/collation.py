"""Examples to padded tensors. Shapes: B batch, R image tokens, T text tokens, F feature size, C classes.

Where losses are taken (``predicted_tokens``, ``predicted_regions``) and where nothing is padded (``real_tokens``,
``real_regions``) is listed here too, so that no model has to look.
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

from interbert.data.examples import PretrainingExample, RetrievalExample
from interbert.data.pairs import PairTable
from interbert.data.sampling import SampleKey
from interbert.losses.pretraining import IGNORE_LABEL, MATCH, flat_positions
from interbert.utils.stored_names import RegionArrays


def pad(rows: Sequence[NDArray[Any]], value: float = 0) -> Tensor:
    """Arrays [L,...] of different L to one tensor [B, longest, ...]."""
    longest = max(len(row) for row in rows)
    padded = np.empty((len(rows), longest, *rows[0].shape[1:]), dtype=rows[0].dtype)
    for index, row in enumerate(rows):
        padded[index, : len(row)] = row
        padded[index, len(row) :] = value
    return torch.from_numpy(padded)


def mask_of(rows: Sequence[NDArray[Any]]) -> Tensor:
    """int64 [B, longest], 1 at real positions."""
    lengths = torch.tensor([len(row) for row in rows])
    return (torch.arange(int(lengths.max())) < lengths[:, None]).long()


def image_tensors(images: Sequence[RegionArrays]) -> dict[str, Tensor]:
    """region_features [B,R,F], region_locations [B,R,5], region_mask [B,R], and real_regions [N], where that is 1."""
    mask = mask_of([features for features, _ in images])
    return {
        "region_features": pad([features for features, _ in images]),
        "region_locations": pad([locations for _, locations in images]),
        "region_mask": mask,
        "real_regions": flat_positions(mask),
    }


def text_tensors(texts: Sequence[NDArray[np.int64]], pad_id: int) -> dict[str, Tensor]:
    """input_ids and attention_mask [B,T], and real_tokens [N], where that is 1."""
    mask = mask_of(texts)
    return {"input_ids": pad(texts, pad_id), "attention_mask": mask, "real_tokens": flat_positions(mask)}


def same_matrix(table: PairTable, keys: Sequence[SampleKey]) -> Tensor:
    """bool [K,K], True where two pairs of the batch share image or text; K counts the pairs of all processes."""
    return torch.from_numpy(table.same(keys[0].together or [key.pair for key in keys]))


class PretrainingCollator:
    """Batches of the pretraining task.

    Args:
        table: the pairs, to know which share image or text.
        pad_id: id of [PAD].
        contrast: add what the contrastive objective reads.
        lm_on_mismatched: predict the tokens of mismatched captions too.
    """

    def __init__(self, table: PairTable, pad_id: int, contrast: bool, lm_on_mismatched: bool = True) -> None:
        self._table = table
        self._pad_id = pad_id
        self._contrast = contrast
        self._lm_on_mismatched = lm_on_mismatched

    def __call__(self, examples: Sequence[PretrainingExample]) -> dict[str, Tensor]:
        """What :func:`~interbert.tasks.pretraining.pretraining_losses` reads."""
        batch = text_tensors([one.input_ids for one in examples], self._pad_id)
        batch |= image_tensors([one.image for one in examples])
        batch |= {
            "lm_labels": pad([one.lm_labels for one in examples], IGNORE_LABEL),
            "masked_regions": pad([one.masked_regions for one in examples]),
            "matching_labels": torch.tensor([one.matching_label for one in examples]),
        }
        only_of = None if self._lm_on_mismatched else batch["matching_labels"]
        batch["predicted_tokens"] = flat_positions(batch["lm_labels"] != IGNORE_LABEL, only_of)
        batch["predicted_regions"] = flat_positions(batch["masked_regions"], batch["matching_labels"])
        # of these alone: classes of all regions would be half of a batch's bytes
        targets = [one.region_targets[one.masked_regions & (one.matching_label == MATCH)] for one in examples]
        batch["region_targets"] = torch.from_numpy(np.concatenate(targets))
        if self._contrast:
            own = text_tensors([one.own_ids for one in examples], self._pad_id)
            batch |= {
                "contrast_input_ids": own["input_ids"],
                "contrast_attention_mask": own["attention_mask"],
                "contrast_real_tokens": own["real_tokens"],
                "contrast_region_features": pad([one.own_image[0] for one in examples]),
                "contrast_same": same_matrix(self._table, [one.key for one in examples]),
            }
        return batch


class RetrievalCollator:
    """Batches of the retrieval task: four pairs for each example, or true pairs alone.

    Args:
        table: the pairs, to know which share image or text.
        pad_id: id of [PAD].
        contrast: add what the contrastive objective reads.
    """

    def __init__(self, table: PairTable, pad_id: int, contrast: bool) -> None:
        self._table = table
        self._pad_id = pad_id
        self._contrast = contrast

    def __call__(self, examples: Sequence[RetrievalExample]) -> dict[str, Tensor]:
        """What :func:`~interbert.tasks.retrieval.retrieval_losses` reads."""
        batch = text_tensors([text for one in examples for text in one.texts], self._pad_id)
        batch |= image_tensors([image for one in examples for image in one.images])
        batch["matching_labels"] = torch.tensor([label for one in examples for label in one.labels])
        if self._contrast:
            starts = np.cumsum([0] + [len(one.texts) for one in examples[:-1]])
            batch["contrast_rows"] = torch.from_numpy(starts)
            batch["contrast_same"] = same_matrix(self._table, [one.key for one in examples])
        in_batch = [one.in_batch for one in examples if one.in_batch is not None]
        if in_batch:
            batch["negative_draws"] = torch.from_numpy(np.stack([one.draws for one in in_batch]))
            batch["negative_hardness"] = torch.tensor(in_batch[0].hardness)
            batch["negative_same"] = torch.from_numpy(self._table.same([one.key.pair for one in examples]))
        return batch


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
