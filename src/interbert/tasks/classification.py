"""Classification of texts, images or pairs: accuracy on held-out items."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn

from interbert.data.collation import LabelledCollator, LabelledItem
from interbert.model.modeling import InterBertForSequenceClassification
from interbert.model.scoring import inference, on_device
from interbert.tasks.base import Task, inputs_of
from interbert.tasks.judged import Judged

_BATCH = 64


class ClassificationTask(Task):
    """Accuracy and macro F1, in per cent.

    Args:
        items: held out.
        pad_id: id of [PAD].
        what: ``texts`` or ``images``, for messages.
    """

    primary_metric = "accuracy"
    greater_is_better = True
    least_steps = 50

    def __init__(self, items: Sequence[LabelledItem], pad_id: int, what: str) -> None:
        self.data_size = f"{len(items)} validation {what}"
        self._items = list(items)
        self._pad_id = pad_id

    def losses(self, model: InterBertForSequenceClassification, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """See :func:`classification_losses`."""
        return classification_losses(model, batch)

    def evaluate(self, model: Any) -> Mapping[str, float]:
        """Metrics of a model."""
        labels = np.array([one.label for one in self._items])
        found = predict(model, self._items, self._pad_id).argmax(axis=1)
        self.judged = Judged.of(found == labels)
        return {"accuracy": float((found == labels).mean() * 100), "macro_f1": macro_f1(found, labels) * 100}


def classification_losses(model: InterBertForSequenceClassification, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Cross-entropy with the batch's ``labels`` int64 [B]."""
    output = model.interbert.encode(**inputs_of(batch), pooled_only=True)
    return {"loss": nn.functional.cross_entropy(model.label_logits(output), batch["labels"])}


def predict(model: Any, items: Sequence[LabelledItem], pad_id: int) -> NDArray[np.float32]:
    """Logits float32 [items, labels], computed in order of length."""
    collate = LabelledCollator(pad_id)
    order = np.argsort([one.tokens for one in items], kind="stable")
    logits = np.empty((len(items), model.config.num_labels), dtype=np.float32)
    with inference(model):
        for start in range(0, len(order), _BATCH):
            chosen = order[start : start + _BATCH]
            batch = on_device(inputs_of(collate([items[index] for index in chosen])), model.device)
            output = model.interbert.encode(**batch, pooled_only=True)
            logits[chosen] = model.label_logits(output).float().cpu().numpy()
    return logits


def macro_f1(found: NDArray[Any], labels: NDArray[Any]) -> float:
    """Mean over the labels that occur of their F1."""
    scores = []
    for label in np.unique(labels):
        relevant = float(((found == label) & (labels == label)).sum())
        scores.append(2 * relevant / float((found == label).sum() + (labels == label).sum()))
    return float(np.mean(scores))
