"""What a task tells the trainer: which number matters and which way is better."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from transformers import PreTrainedModel


class Task(Protocol):
    """Judges a model; choosing the best checkpoint is then the same for every task."""

    primary_metric: str
    greater_is_better: bool
    data_size: str
    """What it judges on, in words: ``500 validation images``."""

    def evaluate(self, model: PreTrainedModel) -> Mapping[str, float]:
        """Metrics of a model on data it is not trained on; the primary one among them."""
