"""Masked segment modeling of texts alone, around a BERT of transformers. Shapes: M predicted tokens, V vocabulary."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor

from interbert.data.masked_texts import MaskedTextCollator, MaskedTexts
from interbert.data.sampling import SampleKey
from interbert.losses.pretraining import masked_lm_loss
from interbert.model.modeling import predict_at
from interbert.model.scoring import inference, on_device
from interbert.tasks.base import Task

_BATCH = 128


class MaskedTextTask(Task):
    """Share of the hidden tokens of held-out texts that are the first guess, in per cent; the same are always hidden.

    Args:
        held: texts that are not trained on.
        pad_id: id of [PAD].
    """

    primary_metric = "accuracy"
    greater_is_better = True
    least_steps = 100
    mean_over: ClassVar[Mapping[str, str]] = {"lm_loss": "predicted_tokens"}

    def __init__(self, held: MaskedTexts, pad_id: int) -> None:
        self.data_size = f"hidden tokens of {len(held)} validation texts"
        self._held = held
        self._collate = MaskedTextCollator(pad_id)

    def losses(self, model: Any, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """``lm_loss``, the mean cross-entropy of the hidden tokens (paper section 3.2), which is all of ``loss``.

        Args:
            model: a ``BertForMaskedLM``.
            batch: of :class:`~interbert.data.masked_texts.MaskedTextCollator`; with ``predicted_counts`` float [1] the
                sum is divided by it: a share of a step's batches over all processes.
        """
        counts = batch.get("predicted_counts")
        logits, labels = _predicted(model, batch)
        loss = masked_lm_loss(logits, labels, None if counts is None else counts[0])
        return {"loss": loss, "lm_loss": loss}

    def evaluate(self, model: Any) -> Mapping[str, float]:
        """Accuracy in per cent, and the mean loss."""
        order = sorted(range(len(self._held)), key=lambda place: len(self._held.ids[place]))
        right, total, loss = 0, 0, 0.0
        with inference(model):
            for start in range(0, len(order), _BATCH):
                keys = [SampleKey(0, 0, place) for place in order[start : start + _BATCH]]
                batch = on_device(self._collate([self._held[key] for key in keys]), model.device)
                logits, labels = _predicted(model, batch)
                right += int((logits.argmax(dim=1) == labels).sum())
                loss += float(masked_lm_loss(logits, labels, torch.ones((), device=logits.device)))
                total += len(labels)
        return {"accuracy": 100 * right / max(total, 1), "lm_loss": loss / max(total, 1)}


def _predicted(model: Any, batch: Mapping[str, Tensor]) -> tuple[Tensor, Tensor]:
    """Logits [M,V] and true ids [M] of the hidden tokens."""
    hidden = model.bert(batch["input_ids"], batch["attention_mask"]).last_hidden_state
    tokens = batch["predicted_tokens"]
    return predict_at(model.cls, hidden, tokens), batch["lm_labels"].flatten()[tokens]
