"""Evaluation of a fine-tuned model by its task's official metric, with controls."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from interbert.errors import ConfigError, DataError, InterBertError
from interbert.tasks.metrics import Estimate
from interbert.training.run_setup import MISSING_IMAGES
from interbert.utils.files import Kind, require_apart, require_replaceable
from interbert.utils.precision import asks_for_bf16
from interbert.vl_tasks.baselines import Baselines, baselines
from interbert.vl_tasks.example import Example
from interbert.vl_tasks.items import VLItems
from interbert.vl_tasks.loading import (
    FineTuned,
    load_task_model,
    open_regions,
    with_boxes,
    with_images,
)
from interbert.vl_tasks.options import EvaluateTaskOptions
from interbert.vl_tasks.prediction import mean_feature, predict_items
from interbert.vl_tasks.scores import TaskScores
from interbert.vl_tasks.seen_images import SeenImages, seen_images
from interbert.vl_tasks.splits import read_split
from interbert.vl_tasks.task import Prediction, VLTask


@dataclass(frozen=True)
class Evaluation:
    """What an evaluation found."""

    task: VLTask
    boxes: str
    control: str
    """``none``, ``text_only`` or ``mean_image``."""
    scores: TaskScores | None
    """None of a blind test."""
    intervals: dict[str, Estimate]
    told: Baselines | None
    left_out: int
    """Examples whose images are missing."""
    seen: SeenImages
    written: int
    """Predictions in the file."""

    def to_dict(self) -> dict[str, Any]:
        """Every number from 0 to 1, for JSON."""
        found: dict[str, Any] = {"task": self.task.name, "boxes": self.boxes, "control": self.control}
        if self.scores is not None:
            found |= self.scores.to_dict()
            found["intervals"] = {name: asdict(one) for name, one in self.intervals.items()}
        if self.told is not None:
            found["baselines"] = self.told.to_dict()
        seen = {"images": self.seen.images, "seen_in_pretraining": self.seen.seen}
        return {**found, **seen, "missing_images_examples": self.left_out}


def evaluate_task(
    name: str, options: EvaluateTaskOptions, progress: Callable[[int], Callable[[int], None]] | None = None
) -> Evaluation:
    """Evaluate a model directory on a split, and write the leaderboard's file where that is asked for.

    Args:
        name: of the task.
        options: files, regions, controls.
        progress: told how many examples there are, gives what is told after each batch how many are done.

    Raises:
        CheckpointError: the model was not fine-tuned for the task.
        SourceError, DataError, StoreError: as in fine-tuning.
        ConfigError: a control that the task cannot have, or nothing is asked of a blind test.
    """
    require_apart(
        {"SOURCE": options.source, "--annotations": options.annotations, "--predictions": options.predictions}
    )
    found = load_task_model(options.model, name)
    settings = with_boxes(found.settings, options.boxes)
    if options.text_only and found.head.of_regions:
        raise ConfigError(f"{name}: regions cannot be chosen without an image. Use --image-control mean.")
    to_write = options.predictions is not None
    _require_writable(found.task, options.predictions)
    examples = read_split(found.task, options.source, options.annotations, _split(found, options), to_write)
    out = options.model.rstrip("/") + (f".{name}" if settings.of_several else "") + ".regions"  # as training has it
    regions = open_regions(options, settings, examples, found.processor, out)
    there, left_out = with_images(regions, examples, options.skip_missing, _list_of_missing(options))
    if not there:
        raise DataError(f"{options.source}: holds no examples.")
    judged = [one for one in there if one.target is not None]
    if not judged and not to_write:
        raise ConfigError(f"{options.source}: has no answers to judge by. Write the leaderboard's file: --predictions")
    mean = None
    if options.image_control == "mean":
        assert regions is not None
        mean = mean_feature(there, regions, found.processor, options.seed)
    items = VLItems(there, found.processor, regions, found.head, mean)
    advance = None if progress is None else progress(len(items))
    predictions = predict_items(
        found.model, items, found.head, found.processor.pad_token_id, advance, asks_for_bf16(options.precision)
    )
    if options.predictions is not None:
        write_predictions(found.task, options.predictions, there, predictions)
    scores, intervals, told = None, {}, None
    if judged:
        kept = [said for one, said in zip(there, predictions, strict=True) if one.target is not None]
        scores = found.task.score(judged, kept)
        intervals = scores.intervals(options.bootstrap, options.seed)
        told = baselines(found.task, found.head, found.settings.majority, judged, regions)
    control = "text_only" if regions is None else "mean_image" if mean is not None else "none"
    seen = seen_images(options.model, there, regions)
    boxes = "none" if regions is None else settings.boxes
    return Evaluation(found.task, boxes, control, scores, intervals, told, left_out, seen, len(there) * to_write)


def _require_writable(task: VLTask, path: str | None) -> None:
    """Check before long work that the file may be written: nothing but predictions of the task is replaced."""

    def recognises(file: Path) -> bool:
        try:
            return task.read_back is not None and bool(task.read_back(file))
        except InterBertError:
            return False

    require_replaceable(path, Kind(f"predictions of {task.title}", recognises))


def write_predictions(task: VLTask, path: str, examples: Sequence[Example], predictions: Sequence[Prediction]) -> None:
    """Write the file that the task's organisers take.

    Raises:
        ConfigError: there is none.
        StorageError: it cannot be written.
    """
    if task.write is None:
        raise ConfigError(f"{task.name}: has no file of predictions. Leave --predictions out.")
    task.write(Path(path).expanduser(), examples, predictions)


def _list_of_missing(options: EvaluateTaskOptions) -> Path | None:
    folder = Path(options.model)
    return folder / MISSING_IMAGES if folder.is_dir() else None


def _split(found: FineTuned, options: EvaluateTaskOptions) -> str | None:
    return options.split or (found.task.splits[1] if found.task.splits else None)
