"""Fine-tuning for several tasks at once: one trunk, a head a task, batches of one task each."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

import numpy as np
import torch
import yaml
from torch import Tensor
from torch.utils.data import Dataset
from transformers import set_seed

from interbert.checkpoints.bert import bert_names
from interbert.checkpoints.directory import load_processor, load_with_head
from interbert.data.sampling import DrawnBatches, EpochBatches, SampleKey
from interbert.errors import ConfigError, shortened
from interbert.model.multi_task import InterBertForMultiTask
from interbert.model.scoring import inference
from interbert.tasks.base import Task
from interbert.training.arguments import attention_for_training, cut_of, trainer_arguments
from interbert.training.model_card import provenance
from interbert.training.run_setup import as_recipe, claim_folder, mark_finished, one_run
from interbert.training.trainer import InterBertTrainer
from interbert.utils.bounded_files import require_bounded_yaml
from interbert.vl_tasks.finetune import TaskData, open_task
from interbert.vl_tasks.items import VLCollator, VLItem, VLItems
from interbert.vl_tasks.options import FinetuneMultitaskOptions, FinetuneTaskOptions
from interbert.vl_tasks.task import find_task

_logger = logging.getLogger(__name__)
_MEAN = "mean"


def finetune_multitask(options: FinetuneMultitaskOptions) -> None:
    """Fine-tune into ``options.out``; the same call continues a stopped run and does nothing after a finished one.

    Raises:
        ConfigError: a task's recipe has options that there are not.
        Others: as :func:`~interbert.vl_tasks.finetune.finetune_task`.
    """
    with one_run(options.out):
        _finetune(options)


def _finetune(options: FinetuneMultitaskOptions) -> None:
    recipes = task_recipes(options)
    out = Path(options.out)
    recipe = {
        "task": "multitask",
        **as_recipe(options),
        "of_tasks": {name: as_recipe(one) for name, one in recipes.items()},
    }
    processor = load_processor(options.model)
    if claim_folder(out, recipe):
        _logger.info(f"{out}: this run is finished, nothing to do")
        return
    tasks = {name: open_task(find_task(name), one, load_processor(options.model), out) for name, one in recipes.items()}
    set_seed(options.training.seed)
    settings = {name: settings_of(data, recipes[name]) for name, data in tasks.items()}
    model = load_with_head(InterBertForMultiTask, options.model, vl_task={"name": "multitask", "tasks": settings})
    model.set_attn_implementation(attention_for_training())
    items = MultiTaskItems([data.items(data.train) for data in tasks.values()])
    batches = task_batches(items, options)
    found = {name: data.fingerprints() for name, data in tasks.items()}
    prints = {f"{name} {what}": value for name, each in found.items() for what, value in each.items()}
    trainer = InterBertTrainer(
        model,
        trainer_arguments(options.training, out, len(batches), some_unused=True),
        options.training,
        out,
        items,
        batches,
        MultiTaskCollator([VLCollator(processor.pad_token_id, data.head) for data in tasks.values()]),
        MultiTaskTraining(tasks),
        processor,
        provenance(recipe, prints | {"started_from": options.model}),
        {f"{name}_loss": data.chance() for name, data in tasks.items()},
        frozenset(bert_names(model.config, has_lm_head=False)),
        names=[one.texts[0] for data in tasks.values() for one in data.train],
    )
    trainer.train_or_resume()
    mark_finished(out)


def settings_of(data: TaskData, options: FinetuneTaskOptions) -> dict[str, Any]:
    """What the configuration of a model of several tasks says of one."""
    own = replace(data.settings, labels=data.head.labels, image_arrangement=options.arrangement, of_several=True)
    return own.to_dict() | {"model_class": data.head.model_class.__name__}


def task_recipes(options: FinetuneMultitaskOptions) -> dict[str, FinetuneTaskOptions]:
    """Options of each task, out of its recipe.

    Raises:
        ConfigError: a recipe cannot be read, or has an option that a task among several does not have.
    """
    found = {}
    for name, path in options.recipes().items():
        find_task(name)
        try:
            read = yaml.safe_load(require_bounded_yaml(path))
        except (OSError, ValueError, yaml.YAMLError) as error:
            raise ConfigError(f"{path}: cannot be read as the recipe of {name} ({error}).") from error
        known = set(asdict(FinetuneTaskOptions("", "", "", text_only=True))) - {"model", "out", "training"}
        if not isinstance(read, dict) or "source" not in read:
            raise ConfigError(f"{path}: is no recipe of {name}: it needs a source.")
        unknown = sorted(set(map(str, read)) - known)
        if unknown:
            raise ConfigError(
                f"{path}: has no option {unknown[0]!r} of a task among several. It takes: {sorted(known)}."
            )
        _require_types(path, read)
        try:
            found[name] = FinetuneTaskOptions(**read, model=options.model, out=f"{options.out.rstrip('/')}.{name}")
        except TypeError as error:
            raise ConfigError(f"{path}: a value has the wrong type ({error}).") from error
    return found


def _require_types(path: str, read: Mapping[str, Any]) -> None:
    """Check the values of a recipe, which the command line's parser does not see."""
    hints = get_type_hints(FinetuneTaskOptions)
    for name, value in read.items():
        if not _is_of(value, hints[name]):
            option = f"--{name.replace('_', '-')}{', a list' if hints[name] == list[str] else ''}"
            raise ConfigError(
                f"{path}: {name} cannot be {shortened(repr(value))}. Give what `interbert finetune TASK` takes for "
                f"{option}."
            )


def _is_of(value: Any, kind: Any) -> bool:
    if get_origin(kind) is list:
        return isinstance(value, list) and all(isinstance(one, str) for one in value)
    if get_origin(kind) in (Union, UnionType):
        return any(_is_of(value, one) for one in get_args(kind))
    if get_origin(kind) is Literal:
        return value in get_args(kind)
    if kind is float:
        return type(value) in (int, float)
    return type(value) is kind


@dataclass(frozen=True)
class TaskItem:
    """An item, and the number of its task."""

    task: int
    item: VLItem


class MultiTaskItems(Dataset[TaskItem]):
    """Items of several tasks, one task's after the other's."""

    def __init__(self, parts: Sequence[VLItems]) -> None:
        self.parts = list(parts)
        self.starts = np.cumsum([0] + [len(part) for part in self.parts])

    def __len__(self) -> int:
        return int(self.starts[-1])

    def __getitem__(self, key: SampleKey) -> TaskItem:
        return self.__getitems__([key])[0]

    def __getitems__(self, keys: Sequence[SampleKey]) -> list[TaskItem]:
        """Items of a batch, which is of one task."""
        task = int(np.searchsorted(self.starts, keys[0].pair, side="right")) - 1
        places = [key.pair - int(self.starts[task]) for key in keys]
        return [TaskItem(task, item) for item in self.parts[task].at(places)]


def task_batches(items: MultiTaskItems, options: FinetuneMultitaskOptions) -> DrawnBatches:
    """An epoch visits every example of every task once, so a task is sampled by its size; the order is shuffled."""
    training = options.training
    cut = cut_of(training)
    parts = [EpochBatches(part.lengths, training.batch_size, training.seed, cut) for part in items.parts]

    def draw(epoch: int) -> Iterator[list[SampleKey]]:
        running = []
        for part in parts:
            part.set_epoch(epoch)
            running.append(iter(part))
        which = np.repeat(np.arange(len(parts)), [len(part) for part in parts])
        for step, task in enumerate(np.random.default_rng((training.seed, epoch)).permutation(which)):
            start = int(items.starts[task])
            number = epoch * len(which) + step
            yield [key._replace(pair=start + key.pair, step=number, together=()) for key in next(running[task])]

    return DrawnBatches(draw, sum(map(len, parts)), training.batch_size, cut.processes)


class MultiTaskCollator:
    """Batches of one task each, with the task's number."""

    def __init__(self, collators: Sequence[VLCollator]) -> None:
        self._collators = list(collators)

    def __call__(self, items: Sequence[TaskItem]) -> dict[str, Tensor]:
        """As the task's collator has it, and ``task``."""
        task = items[0].task
        return self._collators[task]([one.item for one in items]) | {"task": torch.tensor(task)}


class MultiTaskTraining(Task):
    """The loss of the batch's task; every task's metrics, and the mean of their primary ones."""

    primary_metric = _MEAN
    greater_is_better = True
    least_steps = 50

    def __init__(self, tasks: Mapping[str, TaskData]) -> None:
        self._names = list(tasks)
        self._tasks = {name: data.training_task() for name, data in tasks.items()}
        self.data_size = ", ".join(f"{name}: {task.data_size}" for name, task in self._tasks.items())

    def losses(self, model: Any, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """``loss``, which is the task's, too."""
        name = self._names[int(batch["task"])]
        loss = self._tasks[name].losses(model.heads[name], batch)["loss"]
        return {"loss": loss, f"{name}_loss": loss}

    def evaluate(self, model: Any) -> Mapping[str, float]:
        """Metrics as ``TASK_METRIC``, and ``mean``."""
        found: dict[str, float] = {}
        primary = []
        with inference(model):  # the trunk, which is no part of a head's model, too
            for name, task in self._tasks.items():
                metrics = task.evaluate(model.heads[name])
                primary.append(metrics[task.primary_metric])
                found |= {f"{name}_{metric}": value for metric, value in metrics.items()}
        return {_MEAN: float(np.mean(primary))} | found
