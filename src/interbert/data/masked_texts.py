"""Texts with segments hidden, as examples and batches. Shapes: B batch, T text tokens, M predicted tokens."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from torch import Tensor
from torch.utils.data import Dataset

from interbert.data.collation import pad, text_tensors
from interbert.data.masking import MaskedText, SegmentMasking
from interbert.data.sampling import SampleKey, sample_generator
from interbert.data.texts import FlatIds
from interbert.losses.pretraining import IGNORE_LABEL, flat_positions


class MaskedTexts(Dataset[MaskedText]):
    """Texts by sample key, hidden anew in every epoch.

    Args:
        ids: token ids of each text.
        tokenizer: whose they are.
        masking: how tokens are hidden.
        seed: of the run.
    """

    def __init__(self, ids: FlatIds, tokenizer: Any, masking: SegmentMasking, seed: int) -> None:
        self.ids = ids
        self._masking = masking
        self._seed = seed
        self._mask_id = int(tokenizer.mask_token_id)
        self._is_token = np.ones(len(tokenizer), dtype=bool)
        self._is_token[tokenizer.all_special_ids] = False
        self._tokens = self._is_token.nonzero()[0]

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, key: SampleKey) -> MaskedText:
        ids = self.ids[key.pair]
        generator = sample_generator(self._seed, key.epoch, key.pair, "text mask")
        return self._masking(ids, self._is_token[ids], self._mask_id, self._tokens, generator)


class MaskedTextCollator:
    """Batches of the masked text task.

    Args:
        pad_id: id of [PAD].
    """

    def __init__(self, pad_id: int) -> None:
        self._pad_id = pad_id

    def __call__(self, examples: Sequence[MaskedText]) -> dict[str, Tensor]:
        """input_ids, attention_mask, lm_labels int64 [B,T], and predicted_tokens int64 [M], flat places of labels."""
        batch = text_tensors([one.input_ids for one in examples], self._pad_id)
        labels = pad([one.labels for one in examples], IGNORE_LABEL)
        return batch | {"lm_labels": labels, "predicted_tokens": flat_positions(labels != IGNORE_LABEL)}
