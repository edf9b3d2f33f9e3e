"""The heads of vision-and-language tasks: which model, what its targets are, what it is trained by, what it answers.

Shapes: B items, A answers (labels, choices or regions), N regions.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from interbert.model.image_pairs import InterBertForImagePairClassification
from interbert.model.modeling import InterBertForMultipleChoice, InterBertForSequenceClassification
from interbert.tasks.base import inputs_of
from interbert.vl_tasks.example import Example
from interbert.vl_tasks.task import Answer, best_label

Float32 = NDArray[np.float32]


class Head(ABC):
    """What tasks of one kind share."""

    model_class: type[Any]
    labels: tuple[str, ...] = ()
    of_regions = False
    """Answers are regions of the image."""

    @abstractmethod
    def target(self, example: Example, boxes: Float32) -> Any:
        """The target of an example in numbers; None where it has none.

        Args:
            example: with or without a target.
            boxes: [N,4] of its image's regions.
        """

    @abstractmethod
    def collate(self, targets: Sequence[Any]) -> Tensor:
        """Targets of a batch."""

    @abstractmethod
    def logits(self, model: Any, batch: Mapping[str, Tensor]) -> Tensor:
        """Logits [B,A] of a batch of :class:`~interbert.vl_tasks.items.VLCollator`."""

    @abstractmethod
    def loss(self, logits: Tensor, targets: Tensor) -> Tensor:
        """Scalar loss."""

    @abstractmethod
    def probabilities(self, logits: Tensor) -> Tensor:
        """Probabilities [B,A]."""

    @abstractmethod
    def answer(self, probabilities: Float32, boxes: Float32) -> Answer:
        """The answer to one example, of its probabilities [A]; ``boxes`` [N,4] of its image's regions."""

    @abstractmethod
    def chance_loss(self, examples: Sequence[Example], candidates: float) -> float:
        """Loss of a model that knows how frequent each answer is, and nothing of text or image.

        Args:
            examples: to train on.
            candidates: regions of an image in the mean.
        """


class LabelHead(Head):
    """One label of several: softmax and cross-entropy; or, of soft targets, sigmoid and binary cross-entropy.

    Args:
        labels: in the order of the logits.
        soft: targets are scores of each label.
        images: of an example.
    """

    def __init__(self, labels: Sequence[str], soft: bool, images: int) -> None:
        self.labels = tuple(labels)
        self.soft = soft
        self.model_class = InterBertForSequenceClassification if images == 1 else InterBertForImagePairClassification
        self._place = {label: place for place, label in enumerate(self.labels)}
        self._pairs = images > 1

    def target(self, example: Example, boxes: Float32) -> Any:
        """Label's number, or dict of numbers to scores when soft; -1 for a label that training does not have."""
        if not isinstance(example.target, Mapping):
            return None
        if self.soft:
            scores = example.target.items()
            return {self._place[label]: float(score) for label, score in scores if label in self._place}
        return self._place.get(best_label(example.target) or "", -1)

    def collate(self, targets: Sequence[Any]) -> Tensor:
        """int64 [B], or float32 [B,labels] when soft."""
        if not self.soft:
            return torch.tensor(targets)
        found = torch.zeros(len(targets), len(self.labels))
        for row, scores in enumerate(targets):
            for place, score in scores.items():
                found[row, place] = score
        return found

    def logits(self, model: Any, batch: Mapping[str, Tensor]) -> Tensor:
        """[B,labels]."""
        if self._pairs and "region_features" in batch:
            pair_logits: Tensor = model.pair_logits(**inputs_of(batch))
            return pair_logits
        if self._pairs:  # the text alone: both readings are the same
            twice = {name: value.repeat_interleave(2, dim=0) for name, value in _padded(batch).items()}
            twice_logits: Tensor = model.pair_logits(**twice)
            return twice_logits
        found: Tensor = model.label_logits(model.interbert.encode(**inputs_of(batch), pooled_only=True))
        return found

    def loss(self, logits: Tensor, targets: Tensor) -> Tensor:
        """Cross-entropy; or binary cross-entropy summed over labels and averaged over items, as is usual for VQA."""
        if not self.soft:
            return nn.functional.cross_entropy(logits.float(), targets, ignore_index=-1)
        cost = nn.functional.binary_cross_entropy_with_logits(logits.float(), targets, reduction="sum")
        return cost / len(logits)

    def probabilities(self, logits: Tensor) -> Tensor:
        """Softmax, or sigmoid when soft."""
        return logits.float().sigmoid() if self.soft else logits.float().softmax(dim=-1)

    def answer(self, probabilities: Float32, boxes: Float32) -> Answer:
        """The most probable label."""
        return self.labels[int(probabilities.argmax())]

    def chance_loss(self, examples: Sequence[Example], candidates: float) -> float:
        """Entropy of the labels; of soft ones the sum of each one's binary entropy."""
        if not self.soft:
            counts = Counter(best_label(one.target) for one in examples)
            shares = np.array(list(counts.values())) / counts.total()
            return float(-(shares * np.log(shares)).sum())
        means = np.zeros(len(self.labels))
        for one in examples:
            for place, score in (self.target(one, np.zeros((0, 4), np.float32)) or {}).items():
                means[place] += score
        return float(binary_entropy(means / max(1, len(examples))).sum())


class ChoiceHead(Head):
    """One of an example's own texts (VCR): softmax over a logit of each."""

    model_class = InterBertForMultipleChoice

    def target(self, example: Example, boxes: Float32) -> Any:
        """Number of the right choice."""
        return example.target if isinstance(example.target, int) else None

    def collate(self, targets: Sequence[Any]) -> Tensor:
        """int64 [B]."""
        return torch.tensor(targets)

    def logits(self, model: Any, batch: Mapping[str, Tensor]) -> Tensor:
        """[B,choices]; every item of a batch has as many."""
        inputs = inputs_of(batch)
        if "image_of" in batch:  # repeated on the device: an item's choices share its image
            sides = ("region_features", "region_locations", "region_mask")
            inputs |= {name: batch[name][batch["image_of"]] for name in sides}
        output = model.interbert.encode(**inputs, pooled_only=True)
        found: Tensor = model.choice_logits(output).view(int(batch["items"]), -1)
        return found

    def loss(self, logits: Tensor, targets: Tensor) -> Tensor:
        """Cross-entropy."""
        return nn.functional.cross_entropy(logits.float(), targets)

    def probabilities(self, logits: Tensor) -> Tensor:
        """Softmax."""
        return logits.float().softmax(dim=-1)

    def answer(self, probabilities: Float32, boxes: Float32) -> Answer:
        """The most probable choice."""
        return int(probabilities.argmax())

    def chance_loss(self, examples: Sequence[Example], candidates: float) -> float:
        """ln(choices)."""
        return math.log(max(len(one.texts) for one in examples))


def binary_entropy(share: NDArray[np.float64]) -> NDArray[np.float64]:
    """Of each share, in nats."""
    inside = share.clip(1e-12, 1 - 1e-12)
    found: NDArray[np.float64] = -(inside * np.log(inside) + (1 - inside) * np.log(1 - inside))
    return found


def _padded(batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Inputs without the list of where nothing is padded, which repeats do not have."""
    return {name: value for name, value in inputs_of(batch).items() if name not in ("real_tokens", "real_regions")}
