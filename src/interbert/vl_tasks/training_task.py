"""What the trainer is told of a vision-and-language task: the head's loss, and the official metric on held-out data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor

from interbert.tasks.base import Task
from interbert.vl_tasks.baselines import Baselines
from interbert.vl_tasks.example import Example
from interbert.vl_tasks.heads import Head
from interbert.vl_tasks.items import VLItems
from interbert.vl_tasks.prediction import predict_items
from interbert.vl_tasks.task import VLTask, primary_of


class VLTrainingTask(Task):
    """The official metrics, in per cent.

    Args:
        task: whose metrics they are.
        head: of the model.
        items: held out, with targets.
        pad_id: id of [PAD].
        told: what is right without looking, logged beside the metrics.
    """

    greater_is_better = True
    least_steps = 50

    def __init__(self, task: VLTask, head: Head, items: VLItems, pad_id: int, told: Baselines) -> None:
        self.primary_metric = task.primary_metric
        self.data_size = f"{len(items)} validation {task.items}"
        self._task = task
        self._head = head
        self._items = items
        self._pad_id = pad_id
        self._told = {name: 100.0 * value for name, value in told.to_dict().items()}

    def losses(self, model: Any, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The head's loss."""
        return {"loss": self._head.loss(self._head.logits(model, batch), batch["targets"])}

    def evaluate(self, model: Any) -> Mapping[str, float]:
        """Metrics of a model."""
        examples: Sequence[Example] = self._items.examples
        predictions = predict_items(model, self._items, self._head, self._pad_id)
        scores = self._task.score(examples, predictions)
        found = {name: 100.0 * value for name, value in scores.to_dict().items() if isinstance(value, float)}
        return {self.primary_metric: 100.0 * primary_of(self._task, scores)} | found | self._told
