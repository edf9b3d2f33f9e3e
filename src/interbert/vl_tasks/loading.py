"""What fine-tuning, evaluation and prediction open alike: official files, regions, processors, fine-tuned models."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from interbert.checkpoints.directory import load_fine_tuned, load_processor
from interbert.errors import ConfigError, DataError
from interbert.model.configuration import InterBertConfig
from interbert.model.processing import InterBertProcessor
from interbert.regions.schema import ExtractorInfo
from interbert.utils.bounded_files import read_json
from interbert.utils.texts import whole_values
from interbert.vl_tasks.example import Example
from interbert.vl_tasks.heads import Head
from interbert.vl_tasks.image_regions import TaskRegions, write_missing
from interbert.vl_tasks.images import extract_images
from interbert.vl_tasks.official_files import repeated
from interbert.vl_tasks.options import EvaluateTaskOptions, FinetuneTaskOptions
from interbert.vl_tasks.settings import TaskSettings, label_names
from interbert.vl_tasks.task import TaskFiles, VLTask, find_task
from interbert.vl_tasks.task_heads import head_of

_logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class FineTuned:
    """A model directory with everything that predictions need."""

    task: VLTask
    head: Head
    settings: TaskSettings
    model: Any
    processor: InterBertProcessor


def load_task_model(directory: str, name: str | None = None) -> FineTuned:
    """A model that was fine-tuned for a task, or for several.

    Args:
        directory: of the model.
        name: of the task; None takes the only one.

    Raises:
        CheckpointError: it is no model, was fine-tuned for another task, or is damaged.
    """
    processor = load_processor(directory)
    with_config = InterBertConfig.from_pretrained(directory, trust_remote_code=False)
    settings = TaskSettings.of(with_config, directory, name)
    processor.max_text_tokens = settings.max_text_tokens or processor.max_text_tokens
    task = find_task(settings.name)
    labels = settings.labels or label_names(with_config, directory)
    head = head_of(task, labels)
    model = load_fine_tuned(head.model_class, directory, **settings.overrides(head.labels))
    return FineTuned(task, head, settings, model, processor)


def official_files(path: str, annotations: str | None, split: str | None, to_write: bool = False) -> TaskFiles:
    """Files of a split, by their names on the command line."""
    second = None if annotations is None else Path(annotations).expanduser()
    return TaskFiles(Path(path).expanduser(), second, split, to_write)


def open_regions(
    options: FinetuneTaskOptions | EvaluateTaskOptions,
    settings: TaskSettings,
    examples: Sequence[Example],
    processor: InterBertProcessor,
    out: str,
) -> TaskRegions | None:
    """Regions that the settings read of all examples; None when no image is read.

    Raises:
        StoreError: a store is missing, or was made by another extractor than the model's.
        SourceError: the folder of images lacks them all.
    """
    if settings.text_only or options.text_only:
        return None
    detected, given = options.regions, options.given_regions
    if options.images is not None:
        detected, given = extract_images(options.images, examples, out, processor, settings.boxes)
    regions = TaskRegions(settings, detected, given)
    regions.require(ExtractorInfo.from_dict(processor.extractor_info))
    return regions


def with_images(
    regions: TaskRegions | None, examples: Sequence[Example], skip: bool, listed: Path | None
) -> tuple[list[Example], int]:
    """Examples whose images are there, and how many are left out.

    Args:
        regions: None when no image is read.
        examples: of a split.
        skip: leave the others out, instead of stopping.
        listed: file that takes the ids of missing images; None for no file.

    Raises:
        DataError: images are missing and are not to be skipped, or none is left.
        StorageError: the list cannot be written.
    """
    if regions is None:
        return list(examples), 0
    there, missing = regions.split(examples)
    if not missing.images:
        return there, 0
    if listed is not None:
        write_missing(listed, missing)
    told = missing.told(regions.where, listed)
    if not skip or not there:
        raise DataError(f"{told}. Extract them" + ("." if skip else ", or leave the examples out with --skip-missing."))
    _logger.info(f"{told}; left out")
    return there, missing.examples


def limit_texts(processor: InterBertProcessor, wanted: int | None, usual: int, positions: int) -> None:
    """Set how many tokens of a text are read.

    Args:
        processor: is changed.
        wanted: on the command line.
        usual: for the task; cut at the model's positions.
        positions: of the model.

    Raises:
        ConfigError: more are wanted than the model has.
    """
    if wanted is not None and wanted > positions:
        raise ConfigError(f"max_text_tokens {wanted} is more than the {positions} positions of the model.")
    processor.max_text_tokens = min(usual, positions) if wanted is None else wanted


def read_labels(path: str) -> tuple[str, ...]:
    """Answers of a JSON list.

    Raises:
        DataError: it is no list of texts, or one stands in it twice.
    """
    try:
        found = whole_values(read_json(Path(path).expanduser()))
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: cannot be read as a JSON list of answers ({error}).") from error
    if not isinstance(found, list) or len(found) < 2 or not all(isinstance(one, str) for one in found):
        raise DataError(f"{path}: is no JSON list of two or more answers.")
    if (twice := repeated(found)) is not None:
        raise DataError(f"{path}: lists the answer {twice[:60]!r} twice. Leave one out.")
    return tuple(found)


def with_boxes(settings: TaskSettings, boxes: Any) -> TaskSettings:
    """Settings that read other boxes, where some are named."""
    return settings if boxes is None else replace(settings, boxes=boxes)
