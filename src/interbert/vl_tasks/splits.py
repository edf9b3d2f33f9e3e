"""Reads a split of official files for a run, and refuses what would make its numbers mean something else."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from interbert.errors import ConfigError, DataError
from interbert.vl_tasks.example import Example
from interbert.vl_tasks.loading import official_files
from interbert.vl_tasks.options import FinetuneTaskOptions
from interbert.vl_tasks.task import VLTask

_logger = logging.getLogger(__name__)


def read_split(
    task: VLTask, path: str, annotations: str | None, split: str | None, to_write: bool = False
) -> list[Example]:
    """Examples of a split, each of as many images as the task reads.

    Args:
        task: whose files they are.
        path, annotations, split: as the command line has them.
        to_write: the leaderboard's file is to be written.

    Raises:
        ConfigError: a second file or a split is named, and the task has none.
        SourceError, DataError: as the task's reader says; or the examples are of another task.
    """
    if annotations is not None and not task.second_file:
        raise ConfigError(f"{annotations}: {task.name} has no second file. Leave --annotations out.")
    if split is not None and not task.takes_split:
        raise ConfigError(
            f"{path}: a file of {task.name} is one split, so {split[:40]!r} cannot be chosen of it. Name the file of "
            "that split."
        )
    examples = task.read(official_files(path, annotations, split, to_write))
    other = next((one for one in examples if len(one.images) != task.images), None)
    if other is not None:
        raise DataError(
            f"{path}: example {other.id[:60]} is of {len(other.images)} images, and {task.name} reads {task.images}. "
            "Is it the file of another task?"
        )
    return examples


def require_fitting(task: VLTask, options: FinetuneTaskOptions) -> None:
    """Check that every option that is given means something for the task.

    Raises:
        ConfigError: one would be passed over.
    """
    if options.validation is None:
        if options.validation_annotations is not None:
            raise ConfigError("--validation-annotations belong to a file of validation. Name it with --validation.")
        if options.validation_split is not None and task.splits is None:
            raise ConfigError("--validation-split is of a file of validation. Name it with --validation.")
    elif task.name == "vqa" and options.validation_annotations is None:
        raise ConfigError(f"{options.validation}: has no answers. Name its annotations with --validation-annotations.")
    if options.labels is not None and (task.head != "labels" or task.labels):
        told = f"its labels are {', '.join(task.labels)}" if task.labels else "it has no labels"
        raise ConfigError(f"{options.labels}: {task.name} takes no list of answers: {told}. Leave --labels out.")


def warn_of_shared(source: str, train: Sequence[Example], path: str, validation: Sequence[Example]) -> None:
    """Say how many examples are both trained and validated on: the metric of what was learnt by heart says nothing."""
    known = {(one.id, one.images, one.texts) for one in train}
    shared = [one.id for one in validation if (one.id, one.images, one.texts) in known]
    if shared:
        _logger.warning(
            f"{path}: {len(shared)} of its {len(validation)} examples, such as {shared[0][:60]}, are among those of "
            f"{source} that are trained on, so its metrics say nothing of new ones. Validate on another split."
        )
