"""What a task tells the trainer: what is minimised, which number matters, and which way is better."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import Any, ClassVar

from torch import Tensor, nn
from transformers import PreTrainedModel

from interbert.tasks.judged import Judged

Losses = Callable[[Any, Mapping[str, Tensor]], dict[str, Tensor]]

_INPUTS = (
    *("input_ids", "attention_mask", "token_type_ids", "real_tokens"),
    *("region_features", "region_locations", "region_mask", "real_regions"),
)


class Task(ABC):
    """Losses of a model to train, and what judges it; choosing the best checkpoint is then the same for every task."""

    primary_metric: str
    greater_is_better: bool = True
    data_size: str
    """What it judges on, in words: ``500 validation images``."""
    judged: Judged | None = None
    """What the last evaluation found of each unit by the primary metric; None where that is no mean over units."""
    least_steps: ClassVar[int] = 0
    """Steps below which nothing of the kind was seen to be learnt, so that a run is warned of."""
    mean_over: ClassVar[Mapping[str, str]] = {}
    """Losses that are means over places of a batch, and the entry of the batch that lists these. Where several batches
    make a step, the batch has ``predicted_counts`` too, float [losses], by which their sums are divided."""

    @abstractmethod
    def losses(self, model: Any, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Loss of a batch: ``loss`` is minimised, its parts by other names are logged.

        Args:
            model: to train, free of wrappers; any of its methods may be called.
            batch: of the collator, on the model's device.
        """

    @abstractmethod
    def evaluate(self, model: PreTrainedModel) -> Mapping[str, float]:
        """Metrics of a model on data it is not trained on; the primary one among them."""


def inputs_of(batch: Mapping[str, Tensor]) -> dict[str, Any]:
    """What a model's trunk encodes of a batch, and where this is padded."""
    return {name: batch[name] for name in _INPUTS if name in batch}


class TaskModule(nn.Module):
    """A model and what it is trained by as one module, to be wrapped, sharded or compiled.

    Wrappers act around ``forward``, so losses that call a model's methods have to be computed inside of one.

    Args:
        model: to train.
        losses: of a task.
    """

    def __init__(self, model: nn.Module, losses: Losses) -> None:
        super().__init__()
        self.model = model
        self.losses = losses

    def forward(self, **batch: Tensor) -> dict[str, Tensor]:
        """Losses of a batch by name."""
        return self.losses(self.model, batch)
