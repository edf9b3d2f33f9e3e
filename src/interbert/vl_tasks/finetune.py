"""Fine-tuning for any vision-and-language task."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from transformers import set_seed

from interbert.checkpoints.bert import bert_names
from interbert.checkpoints.directory import load_processor, load_with_head
from interbert.data.sampling import EpochBatches
from interbert.errors import ConfigError, DataError
from interbert.model.configuration import InterBertConfig
from interbert.model.processing import InterBertProcessor
from interbert.training.arguments import attention_for_training, cut_of, trainer_arguments
from interbert.training.model_card import provenance
from interbert.training.run_setup import MISSING_IMAGES, as_recipe, claim_folder, mark_finished, one_run
from interbert.training.trainer import InterBertTrainer
from interbert.vl_tasks.baselines import Baselines, baselines, majority_label
from interbert.vl_tasks.example import Example
from interbert.vl_tasks.heads import Head
from interbert.vl_tasks.image_regions import TaskRegions
from interbert.vl_tasks.items import VLCollator, VLItems
from interbert.vl_tasks.loading import limit_texts, open_regions, read_labels, with_images
from interbert.vl_tasks.options import FinetuneTaskOptions
from interbert.vl_tasks.settings import TaskSettings, label_fields
from interbert.vl_tasks.splits import read_split, require_fitting, warn_of_shared
from interbert.vl_tasks.task import VLTask, find_task, group_of
from interbert.vl_tasks.task_heads import head_of, training_labels
from interbert.vl_tasks.training_task import VLTrainingTask

_logger = logging.getLogger(__name__)
_SAMPLE = 500


@dataclass(frozen=True)
class TaskData:
    """What a task is trained and validated on, images and all."""

    task: VLTask
    head: Head
    settings: TaskSettings
    processor: InterBertProcessor
    regions: TaskRegions | None
    train: list[Example]
    validation: list[Example]
    told: Baselines
    """Baselines on the validation examples."""

    def items(self, examples: Sequence[Example]) -> VLItems:
        """As the model reads them."""
        return VLItems(examples, self.processor, self.regions, self.head)

    def training_task(self) -> VLTrainingTask:
        """Losses, and the metric on the validation examples."""
        return VLTrainingTask(self.task, self.head, self.items(self.validation), self.processor.pad_token_id, self.told)

    def chance(self) -> float:
        """Loss of a model that knows nothing."""
        candidates = 0.0
        if self.head.of_regions and self.regions is not None:
            names = sorted({one.images[0] for one in self.train})[:_SAMPLE]
            candidates = float(np.mean([len(one.boxes) for one in self.regions.take(names)]))
        return self.head.chance_loss(self.train, candidates)

    def fingerprints(self) -> dict[str, str]:
        """For provenance."""
        found = {"train": fingerprint(self.train), "validation": fingerprint(self.validation)}
        return found if self.regions is None else found | {"regions": self.regions.fingerprint}


def fingerprint(examples: Sequence[Example]) -> str:
    """Identifies examples by their ids, texts and targets."""
    digest = hashlib.sha256()
    for one in examples:
        digest.update(repr((one.id, one.images, one.texts, one.second_texts, one.target)).encode())
    return f"{digest.hexdigest()[:16]}-{len(examples)}"


def finetune_task(name: str, options: FinetuneTaskOptions) -> None:
    """Fine-tune into ``options.out``; the same call continues a stopped run and does nothing after a finished one.

    Raises:
        CheckpointError: ``options.model`` is no model directory.
        SourceError, DataError, StoreError: an official file is bad, images are missing, or stores do not fit.
        UsageError: ``options.out`` holds something else.
        TrainingError: the loss is not finite.
    """
    with one_run(options.out):
        _finetune(name, options)


def _finetune(name: str, options: FinetuneTaskOptions) -> None:
    recipe = {"task": name, **as_recipe(options)}
    out = Path(options.out)
    processor = load_processor(options.model)
    if claim_folder(out, recipe):
        _logger.info(f"{out}: this run is finished, nothing to do")
        return
    data = open_task(find_task(name), options, processor, out)
    set_seed(options.training.seed)
    model = load_with_head(data.head.model_class, options.model, **_fields(data, options))
    model.set_attn_implementation(attention_for_training())
    dataset = data.items(data.train)
    batches = EpochBatches(
        dataset.lengths, options.training.batch_size, options.training.seed, cut_of(options.training)
    )
    trainer = InterBertTrainer(
        model,
        trainer_arguments(options.training, out, len(batches), some_unused=True),
        options.training,
        out,
        dataset,
        batches,
        VLCollator(processor.pad_token_id, data.head),
        data.training_task(),
        processor,
        provenance(recipe, data.fingerprints() | {"started_from": options.model}),
        {"loss": data.chance()},
        frozenset(bert_names(model.config, has_lm_head=False)),
        names=[one.texts[0] for one in data.train],
    )
    trainer.train_or_resume()
    mark_finished(out)


def open_task(task: VLTask, options: FinetuneTaskOptions, processor: InterBertProcessor, out: Path) -> TaskData:
    """Read a task's files, find its images, and say what is right without looking.

    Args:
        task: to fine-tune for.
        options: its files.
        processor: of the model; its ``max_text_tokens`` is set.
        out: takes the list of missing images; extracted regions lie beside it.
    """
    if options.text_only and task.head == "regions":
        raise ConfigError(f"{task.name}: regions cannot be chosen without an image. Leave --text-only out.")
    require_fitting(task, options)
    config = InterBertConfig.from_pretrained(options.model, trust_remote_code=False)
    limit_texts(processor, options.max_text_tokens, task.max_text_tokens, config.max_position_embeddings)
    train, validation = read_splits(task, options)
    settings = TaskSettings(
        task.name,
        options.boxes or task.boxes,
        options.max_regions,
        processor.max_text_tokens,
        options.text_only,
        image_arrangement=options.arrangement,
    )
    regions = open_regions(options, settings, [*train, *validation], processor, f"{options.out.rstrip('/')}.regions")
    there, _ = with_images(regions, [*train, *validation], options.skip_missing, out / MISSING_IMAGES)
    kept = {id(one) for one in there}
    train, validation = ([one for one in part if id(one) in kept] for part in (train, validation))
    if not train or not validation:
        raise DataError(f"{options.source}: without missing images nothing is left to train or validate on.")
    labels = read_labels(options.labels) if options.labels else training_labels(task, train, options.min_answers)
    head = head_of(task, labels)
    if task.head == "labels":
        train = [one for one in train if head.target(one, np.zeros((0, 4), np.float32)) not in ({}, -1)]
        if not train:
            raise DataError(f"{options.labels}: lists no answer of a training example. Is it of another task?")
        settings = replace(settings, majority=majority_label(train))
    told = baselines(task, head, settings.majority, validation, regions)
    _logger.info(f"{task.title}: {len(train)} training and {len(validation)} validation {task.items}; {told.told()}")
    return TaskData(task, head, settings, processor, regions, train, validation, told)


def read_splits(task: VLTask, options: FinetuneTaskOptions) -> tuple[list[Example], list[Example]]:
    """Examples to train and to validate on.

    Raises:
        DataError: an example has no target, as in the file of a blind test; or too few are there to hold some out.
    """
    first, second = task.splits or (None, None)
    train = read_split(task, options.source, options.annotations, options.split or first)
    _require_targets(options.source, train)
    if options.validation is None and task.splits is None:
        return _held_out(task, options, train)
    path = options.validation or options.source
    annotations = options.validation_annotations or (options.annotations if task.name == "vcr" else None)
    validation = read_split(task, path, annotations, options.validation_split or second)
    _require_targets(path, validation)
    warn_of_shared(options.source, train, path, validation)
    return train, _limited(task, validation, options.validation_limit, options.training.seed)


def _require_targets(path: str, examples: Sequence[Example]) -> None:
    if not examples:
        raise DataError(f"{path}: holds no examples.")
    blind = next((one.id for one in examples if one.target is None), None)
    if blind is not None:
        raise DataError(f"{path}: example {blind} has no answer. Is it the file of a blind test?")


def _held_out(
    task: VLTask, options: FinetuneTaskOptions, examples: Sequence[Example]
) -> tuple[list[Example], list[Example]]:
    groups = sorted({group_of(task, one) for one in examples})
    count = max(1, round(options.validation_share * len(groups)))
    if count >= len(groups):
        raise DataError(f"{options.source}: {len(groups)} images are too few to hold some out. Give a --validation.")
    order = np.random.default_rng(options.training.seed).permutation(len(groups))
    held = {groups[place] for place in order[:count]}
    train = [one for one in examples if group_of(task, one) not in held]
    validation = [one for one in examples if group_of(task, one) in held]
    return train, _limited(task, validation, options.validation_limit, options.training.seed)


def _limited(task: VLTask, examples: list[Example], most: int, seed: int) -> list[Example]:
    """At most so many examples, of whole groups, in their order."""
    if len(examples) <= most:
        return examples
    sizes: dict[str, int] = {}
    for one in examples:
        sizes[group_of(task, one)] = sizes.get(group_of(task, one), 0) + 1
    chosen: set[str] = set()
    total = 0
    groups = sorted(sizes)
    for place in np.random.default_rng(seed).permutation(len(groups)):
        if chosen and total + sizes[groups[place]] > most:
            break
        chosen.add(groups[place])
        total += sizes[groups[place]]
    return [one for one in examples if group_of(task, one) in chosen]


def _fields(data: TaskData, options: FinetuneTaskOptions) -> Mapping[str, Any]:
    """Fields of the model's configuration that the task sets."""
    return {
        **label_fields(data.head.labels),
        "vl_task": data.settings.to_dict(),
        "image_arrangement": options.arrangement,
    }
