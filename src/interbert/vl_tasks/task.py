"""What makes a vision-and-language task: a reader, a head, a metric, a writer. Nothing here imports torch.

:mod:`interbert.vl_tasks.definitions` has every task; docs/tasks.md adds one step by step.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from interbert.errors import UsageError, shortened
from interbert.vl_tasks.example import Box, Example
from interbert.vl_tasks.names import TITLES, VL_TASKS
from interbert.vl_tasks.scores import TaskScores

HeadKind = Literal["labels", "choices", "regions"]
BoxSource = Literal["detected", "given", "both"]
"""Regions that a model reads: those that an extractor chose, those at the boxes of the task's files, or both."""
Answer = str | int | Box
"""A label, the number of a choice, or a box in pixels."""


@dataclass(frozen=True)
class TaskFiles:
    """Official files of one split."""

    path: Path
    """Questions, sentences or references."""
    annotations: Path | None = None
    """A second file or folder where the task has one: VQA's annotations, VCR's metadata, RefCOCO's instances."""
    split: str | None = None
    """The split to read of files that hold several."""
    to_write: bool = False
    """The leaderboard's file is to be written, which of VCR takes further examples than the metric."""


@dataclass(frozen=True)
class Prediction:
    """What a model says of an example."""

    answer: Answer
    probabilities: NDArray[np.float32]
    """Of each label, choice or region, in their order: [labels], [choices] or [regions]. Of labels and choices that
    exclude each other they sum to 1."""
    boxes: NDArray[np.float32]
    """[regions,4] in pixels, of the regions that a choice was among; [0,4] where none was."""


@dataclass(frozen=True)
class VLTask:
    """A task: everything that differs from the others."""

    name: str
    head: HeadKind
    read: Callable[[TaskFiles], list[Example]]
    """Official files of a split to examples; a bad file is a SourceError or DataError that names file and row."""
    score: Callable[[Sequence[Example], Sequence[Prediction]], TaskScores]
    """The official metric of predictions, one for each example and in their order; every number from 0 to 1."""
    write: Callable[[Path, Sequence[Example], Sequence[Prediction]], None] | None = None
    """The file that the task's organisers take; None where there is none."""
    read_back: Callable[[Path], object] | None = None
    """Reads such a file, to know one that may be replaced."""
    primary_metric: str = "accuracy"
    """The one of ``score`` by which the best checkpoint is chosen; more is better. Of a task whose metrics are apart
    for each split, their beginning."""
    items: str = "examples"
    """What its examples are called: ``questions``, ``sentences``, ``expressions``."""
    labels: tuple[str, ...] = ()
    """Every label, where they are fixed; else they are the training answers."""
    soft_targets: bool = False
    """Labels do not exclude each other and each has a score (VQA): sigmoid and binary cross-entropy; else softmax."""
    images: int = 1
    """Images of an example."""
    boxes: BoxSource = "detected"
    """Regions that are read when the command line does not say."""
    choices_in_a_row: int = 1
    """Choices that have to be right for the primary metric: two of VCR's Q->AR."""
    merge_boxes: bool = False
    """Of several right boxes, the smallest box around them all is the right one; else any of them is."""
    max_text_tokens: int = 40
    """Longer texts are cut."""
    second_file: bool = False
    """Its official files are two: ``TaskFiles.annotations`` is read."""
    takes_split: bool = False
    """``TaskFiles.split`` is read: its files hold several splits, or do not say which they are of."""
    splits: tuple[str, str] | None = None
    """Names of the splits to train and to validate on, where the same files hold both."""
    group_of: Callable[[Example], str] | None = None
    """What a held-out share keeps together; the image when not given."""

    @property
    def title(self) -> str:
        """For people: ``VQA v2``."""
        return TITLES[self.name]


def find_task(name: str) -> VLTask:
    """A task by its name.

    Raises:
        UsageError: there is none; the message names the nearest.
    """
    if name not in VL_TASKS:
        close = difflib.get_close_matches(name, VL_TASKS, n=1, cutoff=0.5)
        hint = f" Did you mean {close[0]!r}?" if close else ""
        raise UsageError(f"there is no task {shortened(name)!r}.{hint} Tasks: {', '.join(VL_TASKS)}.")
    from interbert.vl_tasks.definitions import TASKS  # which imports this module

    return TASKS[name]


def group_of(task: VLTask, example: Example) -> str:
    """What a held-out share keeps together."""
    return example.images[0] if task.group_of is None else task.group_of(example)


def primary_of(task: VLTask, scores: TaskScores) -> float:
    """The primary metric, from 0 to 1; 0 where no example counts for it."""
    found = scores.to_dict()
    name = task.primary_metric
    value = found.get(name, next((one for key, one in found.items() if key.startswith(f"{name}_")), None))
    return 0.0 if value is None else float(value)


def best_label(target: object) -> str | None:
    """The label of an example's target with the highest score, the first of equal ones; None when there is none."""
    if not isinstance(target, Mapping) or not target:
        return None
    return str(max(target, key=lambda label: target[label]))


def names_of_images(example: Example) -> list[tuple[str, ...]]:
    """Of each image of an example its id, and what else others call it."""
    others = example.details.get("image_names") or [()] * len(example.images)
    return [(image, *names) for image, names in zip(example.images, others, strict=True)]
