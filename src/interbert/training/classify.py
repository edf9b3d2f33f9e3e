"""Fine-tuning for classification: texts alone, images alone, or both (single-modal tasks, SPEC part 4)."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from transformers import set_seed

from interbert.checkpoints.bert import bert_names, bert_tokenizer, config_for_bert, initialise_from_bert
from interbert.checkpoints.directory import load_classifier, load_processor
from interbert.data.collation import LabelledCollator, LabelledItem, LabelledItems
from interbert.data.sampling import EpochBatches
from interbert.data.text_sources import LeftOut
from interbert.errors import ConfigError
from interbert.model.modeling import InterBertForSequenceClassification
from interbert.model.processing import InterBertProcessor
from interbert.model.region_inputs import InterBertRegionFeatureExtractor
from interbert.tasks.classification import ClassificationTask, predict
from interbert.training.answers import Answers
from interbert.training.arguments import attention_for_training, cut_of, trainer_arguments
from interbert.training.baselines import label_entropy
from interbert.training.model_card import provenance
from interbert.training.options import FinetuneClassificationOptions
from interbert.training.run_setup import (
    LEFT_OUT,
    VALIDATION_LEFT_OUT,
    as_recipe,
    claim_folder,
    held_out_share,
    main_process,
    mark_finished,
    one_run,
)
from interbert.training.trainer import InterBertTrainer
from interbert.utils.bounded_files import read_json
from interbert.utils.stored_names import RegionArrays

_logger = logging.getLogger(__name__)

_USUAL_SHARE = 0.1
"""Of the items, held out where there are many."""


@dataclass(frozen=True)
class Labelled:
    """Items as they were read: texts, images or both, and a label each."""

    labels: tuple[str, ...]
    texts: tuple[str, ...] | None = None
    images: tuple[RegionArrays, ...] | None = None
    fingerprint: str = ""
    rows: tuple[int, ...] = ()
    """Of the source, from 0; empty where they are all of its rows."""
    left_out: LeftOut = field(default_factory=LeftOut)

    def select(self, rows: Sequence[int]) -> Labelled:
        """Some of them."""
        return Labelled(
            tuple(self.labels[row] for row in rows),
            None if self.texts is None else tuple(self.texts[row] for row in rows),
            None if self.images is None else tuple(self.images[row] for row in rows),
            self.fingerprint,
            tuple(self.rows[row] for row in rows) if self.rows else tuple(rows),
            self.left_out,
        )


def is_model_directory(model: str) -> bool:
    """Whether ``model`` is a directory of an InterBERT, and not the name of a BERT."""
    file = Path(model) / "config.json"
    try:
        fields = read_json(file) if file.is_file() else {}
    except ValueError:
        return True  # who loads it says that it is damaged
    return isinstance(fields, dict) and fields.get("model_type") == "interbert"


def processor_for(options: FinetuneClassificationOptions) -> InterBertProcessor:
    """The model's processor with room for these texts; of a BERT, its tokenizer alone.

    Raises:
        CheckpointError: there is no such model or BERT.
        ConfigError: images are to be classified by a BERT.
    """
    if is_model_directory(options.model):
        processor = load_processor(options.model)
        processor.max_text_tokens = options.max_text_tokens
        return processor
    if options.image_column is not None:
        raise ConfigError(f"{options.model}: is no InterBERT directory, and images need one: pretrain first.")
    regions = InterBertRegionFeatureExtractor({"name": "none", "settings": {}, "feature_size": 1, "num_classes": None})
    return InterBertProcessor(regions, bert_tokenizer(options.model), options.max_text_tokens)


def finetune_classification(
    options: FinetuneClassificationOptions,
    processor: InterBertProcessor,
    train: Labelled,
    validation: Labelled | None,
) -> None:
    """Fine-tune into ``options.out``; the same call continues a stopped run and does nothing after a finished one.

    Args:
        options: as the command line has them.
        processor: of :func:`processor_for`.
        train: items to learn from.
        validation: items to judge on; None holds a share of ``train`` out.

    Raises:
        CheckpointError: ``options.model`` cannot be loaded.
        ConfigError: there are fewer than two labels, or a validation label that training does not show.
        UsageError: ``options.out`` holds something else.
        TrainingError: the loss is not finite.
    """
    with one_run(options.out):
        _finetune(options, processor, train, validation)


def _finetune(
    options: FinetuneClassificationOptions,
    processor: InterBertProcessor,
    train: Labelled,
    validation: Labelled | None,
) -> None:
    recipe = as_recipe(options)
    said = [(LEFT_OUT, train.left_out), *([(VALIDATION_LEFT_OUT, validation.left_out)] if validation else [])]
    if validation is None:
        share = held_out_share(options.validation_share, len(train.labels), _USUAL_SHARE)
        train, validation = _split(train, share, options.training.seed)
    labels = sorted(set(train.labels))
    if len(labels) < 2:
        raise ConfigError(f"{options.source}: has {len(labels)} label in {options.label!r}; a classifier needs two.")
    unknown = sorted(set(validation.labels) - set(labels))
    if unknown:
        raise ConfigError(f"{options.validation or options.source}: the label {unknown[0]!r} is in no training item.")
    out = Path(options.out)
    if claim_folder(out, recipe):
        _logger.info(f"{out}: this run is finished, nothing to do")
        return
    if main_process():
        _list_left_out(out, said)
    set_seed(options.training.seed)
    model = _model(options, labels, len(processor.tokenizer))
    if options.text is not None and options.max_text_tokens > model.config.max_position_embeddings:
        raise ConfigError(
            f"max_text_tokens {options.max_text_tokens} is more than the {model.config.max_position_embeddings} "
            f"positions of {options.model}."
        )
    model.set_attn_implementation(attention_for_training())
    dataset, held = LabelledItems(_items(train, processor, labels)), _items(validation, processor, labels)
    cut = cut_of(options.training)
    batches = EpochBatches(dataset.lengths, options.training.batch_size, options.training.seed, cut)
    what = "images" if options.text is None else "texts"
    trainer = InterBertTrainer(
        model,
        trainer_arguments(options.training, out, len(batches), some_unused=True),
        options.training,
        out,
        dataset,
        batches,
        LabelledCollator(processor.pad_token_id),
        ClassificationTask(held, processor.pad_token_id, what),
        processor,
        provenance(recipe, {"train": train.fingerprint, "validation": validation.fingerprint}) | {"labels": labels},
        {"loss": label_entropy(train.labels)},
        frozenset(bert_names(model.config, has_lm_head=False)),
        names=train.texts or (),
    )
    trainer.train_or_resume()
    if main_process():
        _judge(out, labels, held, validation, processor)
    mark_finished(out)


def _list_left_out(out: Path, sources: Sequence[tuple[str, LeftOut]]) -> None:
    for file, left_out in sources:
        (out / file).unlink(missing_ok=True)  # of an attempt before
        if left_out.count:
            left_out.write(out / file)
            _logger.info(f"{left_out.count:,} rows without a label or text are left out: {out / file}")


def _judge(
    out: Path, labels: Sequence[str], held: Sequence[LabelledItem], data: Labelled, processor: InterBertProcessor
) -> None:
    """Keep what the finished model answers for the held-out items, for its report."""
    logits = predict(load_classifier(str(out), labels), held, processor.pad_token_id)
    rows = data.rows or range(len(held))
    found = Answers.of(labels, [one.label for one in held], logits, rows, data.texts)
    found.write(out)
    _logger.info(found.told())


def _model(
    options: FinetuneClassificationOptions, labels: Sequence[str], vocabulary: int
) -> InterBertForSequenceClassification:
    if is_model_directory(options.model):
        return load_classifier(options.model, labels)
    config = config_for_bert(
        options.model,
        vocab_size=vocabulary,
        region_feature_size=1,
        num_region_classes=1,
        num_labels=len(labels),
        id2label=dict(enumerate(labels)),
        label2id={label: place for place, label in enumerate(labels)},
    )
    config.pooler_size = config.hidden_size
    model = InterBertForSequenceClassification(config)
    _logger.info(f"model: {initialise_from_bert(model, options.model)}")
    return model


def _items(data: Labelled, processor: InterBertProcessor, labels: Sequence[str]) -> list[LabelledItem]:
    place = {label: index for index, label in enumerate(labels)}
    ids = [None] * len(data.labels) if data.texts is None else processor.texts_to_ids(data.texts)
    images = [None] * len(data.labels) if data.images is None else data.images
    return [
        LabelledItem(None if tokens is None else tuple(tokens), image, place[label])
        for tokens, image, label in zip(ids, images, data.labels, strict=True)
    ]


def _split(data: Labelled, share: float, seed: int) -> tuple[Labelled, Labelled]:
    """A share is held out at random; of every label at least one item stays to learn from."""
    order = np.random.default_rng(seed).permutation(len(data.labels)).tolist()
    held = max(1, round(share * len(order)))
    if held >= len(order):
        raise ConfigError(f"{len(order)} items are too few to hold {share:.0%} out. Give a validation source.")
    learnt = {data.labels[row] for row in order[held:]}
    held_rows = []
    for row in order[:held]:
        if data.labels[row] in learnt:
            held_rows.append(row)
        learnt.add(data.labels[row])
    if not held_rows:
        raise ConfigError(f"{len(order)} items have too many labels to hold some out. Give a validation source.")
    kept_rows = set(order) - set(held_rows)
    return data.select(sorted(kept_rows)), data.select(sorted(held_rows))
