"""A catalogue's texts as a frozen BERT has them, and their tokens."""

from __future__ import annotations

import logging
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from interbert.checkpoints.frozen_bert import FrozenBert
from interbert.checkpoints.vocabulary import grow_vocabulary
from interbert.model.processing import token_ids

_logger = logging.getLogger(__name__)


class CatalogueTexts:
    """Texts of a training and a validation set.

    Args:
        source: BERT: minilm, a directory or a Hub id.
        training: texts to learn from.
        validation: texts to judge by.
    """

    def __init__(self, source: str, training: Sequence[str], validation: Sequence[str]) -> None:
        self._bert = FrozenBert(source)
        grown, growth = grow_vocabulary(self._bert.tokenizer, training, validation)
        _logger.info(f"vocabulary: {growth}")
        self.vocabulary = len(grown)
        """Pieces, those of the BERT and those added for this catalogue."""
        self._grown = grown

    def tokens(self, texts: Sequence[str]) -> list[list[int]]:
        """Piece ids of each text, cut as in pretraining."""
        return token_ids(self._grown, texts)

    def vectors(self, texts: Sequence[str], device: torch.device) -> NDArray[np.float32]:
        """The BERT's state of the first token, [n,H]."""
        return self._bert.states(texts, device)
