"""Which head a task has, and the labels that it chooses among."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from interbert.errors import DataError
from interbert.vl_tasks.example import Example
from interbert.vl_tasks.heads import ChoiceHead, Head, LabelHead
from interbert.vl_tasks.region_head import RegionHead
from interbert.vl_tasks.task import VLTask


def head_of(task: VLTask, labels: Sequence[str]) -> Head:
    """The head of a task.

    Args:
        task: of :func:`~interbert.vl_tasks.task.find_task`.
        labels: of a model or of the training examples; only a task with labels reads them.
    """
    if task.head == "labels":
        return LabelHead(labels, task.soft_targets, task.images)
    return ChoiceHead() if task.head == "choices" else RegionHead(task.merge_boxes)


def training_labels(task: VLTask, examples: Sequence[Example], least: int = 1) -> tuple[str, ...]:
    """Labels to train a task on: its own, or those that are right for at least ``least`` examples, the most frequent
    first.

    Raises:
        DataError: there are fewer than two.
    """
    if task.head != "labels" or task.labels:
        return task.labels
    counts = Counter(label for one in examples if isinstance(one.target, Mapping) for label in one.target)
    found = tuple(label for label, count in sorted(counts.items(), key=lambda one: (-one[1], one[0])) if count >= least)
    if len(found) < 2:
        raise DataError(
            f"{task.name}: the training examples have {len(found)} answers that are right at least {least} times; two "
            "are needed. Lower --min-answers, or give a list with --labels."
        )
    return found
