"""A BERT that reads texts and learns nothing: its states of whole texts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from transformers import AutoModel

from interbert.checkpoints.bert import bert_tokenizer, load_bert
from interbert.model.processing import mean_state, pad_texts, token_ids

_BATCH = 256


class FrozenBert:
    """A BERT and its tokenizer.

    Args:
        source: BERT: minilm, a directory or a Hub id.

    Raises:
        CheckpointError: there is no tokenizer with a real vocabulary.
        MissingExtraError: minilm is not installed.
    """

    def __init__(self, source: str) -> None:
        self.tokenizer = bert_tokenizer(source)
        self._bert = load_bert(AutoModel, source).eval()

    @torch.inference_mode()
    def states(
        self, texts: Sequence[str], device: torch.device | str = "cpu", pooling: Literal["first", "mean"] = "first"
    ) -> NDArray[np.float32]:
        """States of texts, [n,H].

        Args:
            texts: n of them, cut as in pretraining.
            device: where to compute.
            pooling: the state of the first token, or the mean over all tokens.
        """
        ids = token_ids(self.tokenizer, texts)
        order = sorted(range(len(ids)), key=lambda index: len(ids[index]))
        found = np.empty((len(ids), self._bert.config.hidden_size), dtype=np.float32)
        self._bert.to(device)
        for start in range(0, len(order), _BATCH):
            part = order[start : start + _BATCH]
            batch = {name: one.to(device) for name, one in pad_texts([ids[index] for index in part]).items()}
            states: Tensor = self._bert(**batch).last_hidden_state
            pooled = mean_state(states, batch["attention_mask"]) if pooling == "mean" else states[:, 0]
            found[part] = pooled.float().cpu().numpy()
        return found
