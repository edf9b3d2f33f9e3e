"""What is right without looking: the majority answer, a random choice, and the most that candidate boxes allow."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from interbert.vl_tasks.example import Example
from interbert.vl_tasks.heads import Head
from interbert.vl_tasks.image_regions import TaskRegions
from interbert.vl_tasks.region_head import RIGHT_IOU, RegionHead
from interbert.vl_tasks.task import Prediction, VLTask, best_label, primary_of

_NO_BOXES = np.zeros((0, 4), dtype=np.float32)
_AT_ONCE = 256


@dataclass(frozen=True)
class Baselines:
    """Values of the primary metric, from 0 to 1."""

    majority: float | None
    """Of the one answer that is right most often in training; None where answers are the image's regions."""
    chance: float | None
    """Of an answer drawn at random; None where this is not known in closed form."""
    ceiling: float | None = None
    """Share of the examples one of whose candidate boxes is right: no choice among them can do better."""

    def told(self, digits: int = 3) -> str:
        """In words, from 0 to 1."""
        named = (
            ("majority answer", self.majority),
            ("chance", self.chance),
            ("ceiling of candidate boxes", self.ceiling),
        )
        return ", ".join(f"{name} {value:.{digits}f}" for name, value in named if value is not None)

    def to_dict(self) -> dict[str, float]:
        """Those that are known, from 0 to 1."""
        named = {"majority": self.majority, "chance": self.chance, "ceiling": self.ceiling}
        return {name: value for name, value in named.items() if value is not None}


def majority_label(examples: Sequence[Example]) -> str | None:
    """The label that is best for most examples."""
    counts = Counter(label for one in examples if (label := best_label(one.target)) is not None)
    return counts.most_common(1)[0][0] if counts else None


def label_baselines(task: VLTask, majority: str | None, labels: int, examples: Sequence[Example]) -> Baselines:
    """Of a task of labels.

    Args:
        task: whose metric judges.
        majority: the label that is right most often in training.
        labels: how many there are.
        examples: to judge on, with targets.
    """
    chance = None if task.soft_targets else 1 / max(1, labels)
    if majority is None:
        return Baselines(None, chance)
    same = Prediction(majority, np.ones(1, dtype=np.float32), _NO_BOXES)
    return Baselines(primary_of(task, task.score(examples, [same] * len(examples))), chance)


def choice_baselines(task: VLTask, examples: Sequence[Example]) -> Baselines:
    """Of a task of choices: each of the numbers in turn, the best of them."""
    choices = max(len(one.texts) for one in examples)
    values = []
    for choice in range(choices):
        probabilities = np.eye(choices, dtype=np.float32)[choice]
        same = Prediction(choice, probabilities, _NO_BOXES)
        values.append(primary_of(task, task.score(examples, [same] * len(examples))))
    return Baselines(max(values), 1 / choices**task.choices_in_a_row)


def region_baselines(task: VLTask, head: RegionHead, examples: Sequence[Example], regions: TaskRegions) -> Baselines:
    """Of a task of regions: a region drawn evenly, and the best of the candidates of each example."""
    shares, best = [], []
    for start in range(0, len(examples), _AT_ONCE):
        part = examples[start : start + _AT_ONCE]
        for one, candidates in zip(part, regions.take([one.images[0] for one in part]), strict=True):
            overlap = head.overlap(one, candidates.boxes)
            shares.append(float((overlap > RIGHT_IOU).mean()))
            best.append(Prediction(head.answer(overlap, candidates.boxes), overlap, candidates.boxes))
    return Baselines(None, float(np.mean(shares)), primary_of(task, task.score(examples, best)))


def baselines(
    task: VLTask,
    head: Head,
    majority: str | None,
    examples: Sequence[Example],
    regions: TaskRegions | None,
) -> Baselines:
    """Baselines of any task.

    Args:
        task: whose metric judges.
        head: of the task.
        majority: the label that is right most often in training; None of a task without labels.
        examples: to judge on, with targets.
        regions: of their images; None when no image is read.
    """
    if isinstance(head, RegionHead):
        assert regions is not None, "regions cannot be chosen without images"
        return region_baselines(task, head, examples, regions)
    if task.head == "labels":
        return label_baselines(task, majority, len(head.labels), examples)
    return choice_baselines(task, examples)
