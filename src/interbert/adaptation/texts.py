"""A catalogue's texts as a frozen BERT has them, and their word pieces."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from transformers import AutoModel

from interbert.checkpoints.bert import bert_tokenizer, resolve_bert
from interbert.checkpoints.quiet import quiet_library
from interbert.checkpoints.vocabulary import grow_vocabulary
from interbert.model.processing import pad_texts, token_ids

_BATCH = 256


class CatalogueTexts:
    """Texts of a training and a validation set.

    Args:
        source: BERT: minilm, a directory or a Hub id.
        training: texts to learn from.
        validation: texts to judge by.
    """

    def __init__(self, source: str, training: Sequence[str], validation: Sequence[str]) -> None:
        known = bert_tokenizer(source)
        grown, growth = grow_vocabulary(known, training, validation)
        print(f"vocabulary: {growth}", flush=True)
        self.vocabulary = len(grown)
        """Pieces, those of the BERT and those added for this catalogue."""
        with quiet_library():
            self._bert = AutoModel.from_pretrained(resolve_bert(source)).eval()
        self._known, self._grown = known, grown

    def pieces(self, texts: Sequence[str]) -> list[list[int]]:
        """Piece ids of each text, cut as in pretraining."""
        return token_ids(self._grown, texts)

    @torch.inference_mode()
    def vectors(self, texts: Sequence[str], device: torch.device) -> NDArray[np.float32]:
        """The BERT's state of the first token, [n,H]."""
        ids = token_ids(self._known, texts)
        order = sorted(range(len(ids)), key=lambda index: len(ids[index]))
        found = np.empty((len(ids), self._bert.config.hidden_size), dtype=np.float32)
        self._bert.to(device)
        for start in range(0, len(order), _BATCH):
            part = order[start : start + _BATCH]
            batch = {name: one.to(device) for name, one in pad_texts([ids[index] for index in part]).items()}
            state: Tensor = self._bert(**batch).last_hidden_state[:, 0]
            found[part] = state.float().cpu().numpy()
        return found
