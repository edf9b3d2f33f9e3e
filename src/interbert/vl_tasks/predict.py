"""Predictions for anybody's table, by a classifier or by a model of any vision-and-language task."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from interbert.checkpoints.directory import load_fine_tuned, load_processor
from interbert.errors import CheckpointError, ConfigError
from interbert.extraction.columns import ColumnMapping
from interbert.extraction.extract import extract_to_store
from interbert.extraction.extractor import RegionExtractor, build_extractor
from interbert.extraction.given import GivenExtractor
from interbert.extraction.sources import open_source
from interbert.model.configuration import InterBertConfig
from interbert.model.modeling import InterBertForSequenceClassification
from interbert.model.processing import InterBertProcessor
from interbert.regions.schema import ExtractorInfo
from interbert.training.model_card import PROVENANCE
from interbert.utils.bounded_files import read_json
from interbert.utils.files import TABLE_PREDICTIONS, require_apart, require_replaceable
from interbert.utils.precision import asks_for_bf16
from interbert.vl_tasks.example import Example
from interbert.vl_tasks.heads import Head, LabelHead
from interbert.vl_tasks.image_regions import TaskRegions
from interbert.vl_tasks.images import extract_images
from interbert.vl_tasks.items import VLItems
from interbert.vl_tasks.loading import load_task_model, with_images
from interbert.vl_tasks.options import PredictOptions
from interbert.vl_tasks.prediction import predict_items
from interbert.vl_tasks.prediction_files import write_table
from interbert.vl_tasks.settings import TaskSettings, label_names
from interbert.vl_tasks.table_rows import Columns, read_examples
from interbert.vl_tasks.task import HeadKind

_CLASSIFIER = "classification"
_ALL = 1_000_000
"""Classifiers are trained on all regions of an image."""


@dataclass(frozen=True)
class _Predictor:
    """A model and what it reads."""

    model: Any
    processor: InterBertProcessor
    head: Head
    kind: HeadKind
    settings: TaskSettings
    images: int
    """Of an example; 0 of a classifier of texts."""
    text: str | None
    """Usual column of the text; None when none is read."""
    image: str


def predict_table(options: PredictOptions, progress: Callable[[int], Callable[[int], None]] | None = None) -> int:
    """Predict every row of a table and write a file.

    Args:
        options: as the command line has them.
        progress: told how many rows there are, gives what is told after each batch how many are done.

    Returns:
        Rows that were predicted.

    Raises:
        CheckpointError: the model is missing, or neither a classifier nor of a vision-and-language task.
        SourceError, ColumnError, DataError, StoreError: the table or its images do not fit; see the message.
    """
    require_apart({"FILE": options.source, "OUT": options.out})
    require_replaceable(options.out, TABLE_PREDICTIONS)
    found = _open(options)
    columns = _columns(options, found)
    examples = read_examples(options.source, columns, found.kind)
    regions = None
    if found.images:
        regions = _regions(options, found, columns, examples)
    there, _ = with_images(regions, examples, options.skip_missing, None)
    items = VLItems(there, found.processor, regions, found.head)
    advance = None if progress is None else progress(len(items))
    bf16 = asks_for_bf16(options.precision)
    predictions = predict_items(found.model, items, found.head, found.processor.pad_token_id, advance, bf16)
    write_table(Path(options.out), there, predictions, found.head, options.top)
    return len(there)


def _open(options: PredictOptions) -> _Predictor:
    processor = load_processor(options.model)
    config = InterBertConfig.from_pretrained(options.model, trust_remote_code=False)
    if config.vl_task is not None:
        one = load_task_model(options.model, options.task)
        images = 0 if one.settings.text_only else one.task.images
        return _Predictor(one.model, one.processor, one.head, one.task.head, one.settings, images, "text", "image")
    if options.task is not None:
        raise CheckpointError(f"{options.model}: was fine-tuned for no vision-and-language task. Leave --task out.")
    if InterBertForSequenceClassification.__name__ not in (config.architectures or []):
        raise CheckpointError(
            f"{options.model}: is no classifier and was fine-tuned for no vision-and-language task, so it has nothing "
            "to predict. Search with it, or fine-tune it: interbert finetune classification"
        )
    model = load_fine_tuned(InterBertForSequenceClassification, options.model)
    labels = label_names(config, options.model)
    text, image = _trained_columns(options.model)
    settings = TaskSettings(_CLASSIFIER, max_regions=_ALL)
    return _Predictor(
        model, processor, LabelHead(labels, False, 1), "labels", settings, int(image is not None), text, image or ""
    )


def _trained_columns(model: str) -> tuple[str | None, str | None]:
    """Columns of text and image that a classifier was trained on, as far as its directory remembers."""
    try:
        recipe = dict(read_json(Path(model) / PROVENANCE)["recipe"])
    except (OSError, ValueError, LookupError, TypeError):
        return "text", None
    text, image = (name if isinstance(name := recipe.get(field), str) else None for field in ("text", "image_column"))
    return ("text", None) if text is image is None else (text, image)


def _columns(options: PredictOptions, found: _Predictor) -> Columns:
    images = tuple(options.image_column)
    if not images and found.images:
        images = (found.image,) if found.images == 1 else tuple(f"{found.image}_{n + 1}" for n in range(found.images))
    if len(images) != found.images:
        raise ConfigError(f"{options.model}: reads {found.images} images a row, --image-column names {len(images)}.")
    by_id = options.images is not None or bool(options.regions or options.given_regions)
    if found.images > 1 and not by_id:
        raise ConfigError("of a task of two images the columns have ids: give --regions or the folder --images.")
    text = options.text or found.text
    return Columns(
        options.id_column, text, options.second_text, options.choices_column, images, options.boxes_column, by_id
    )


def _regions(options: PredictOptions, found: _Predictor, columns: Columns, examples: Sequence[Example]) -> TaskRegions:
    folder = f"{options.out}.regions"
    detected, given = options.regions, options.given_regions
    if options.images is not None:
        detected, given = extract_images(options.images, examples, folder, found.processor, found.settings.boxes)
    elif not columns.images_are_ids:
        detected, given = _extracted(options.source, columns, folder, found)
    regions = TaskRegions(found.settings, detected, given)
    regions.require(ExtractorInfo.from_dict(found.processor.extractor_info))
    return regions


def _extracted(source: str, columns: Columns, folder: str, found: _Predictor) -> tuple[list[str], list[str]]:
    """Stores of the image files that a table's rows hold or name; an image's id is its row."""
    extractor = build_extractor(found.processor.extractor_info, found.processor.extractor_folder)
    boxes = found.settings.boxes
    if boxes != "detected" and columns.boxes is None:
        raise ConfigError("this model reads regions at given boxes: name their column with --boxes-column.")
    detected, given = [], []
    if boxes != "given":
        detected = [_extracted_once(source, columns.images[0], None, f"{folder}/detected", extractor)]
    if boxes != "detected":
        given = [
            _extracted_once(source, columns.images[0], columns.boxes, f"{folder}/given", GivenExtractor(extractor))
        ]
    return detected, given


def _extracted_once(source: str, image: str, boxes: str | None, out: str, extractor: RegionExtractor) -> str:
    rows = open_source(source, ColumnMapping(image, boxes=boxes), need_texts=False, several_images=False)
    extract_to_store(rows.with_ids([str(row) for row in range(len(rows))]), out, extractor, need_texts=False)
    return out
