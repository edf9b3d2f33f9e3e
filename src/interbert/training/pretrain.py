"""Pretraining (paper section 3.2): masked segments, masked regions and matching, with the dual contrast beside them."""

from __future__ import annotations

import json
import logging
import math
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from transformers import set_seed

from interbert.checkpoints.bert import FillReport, config_for_bert, initialise_from_bert, published_tokenizer
from interbert.checkpoints.normalising import fitted_to_vocabulary
from interbert.checkpoints.unknown_words import report_unknown_words
from interbert.checkpoints.vocabulary import fill_new_rows, grow_vocabulary, latin_tokens
from interbert.data.collation import PretrainingCollator
from interbert.data.examples import PairData, PretrainingPairs
from interbert.data.masking import RegionMasking, SegmentMasking
from interbert.data.negatives import Negatives
from interbert.data.sampling import EpochBatches
from interbert.errors import ConfigError
from interbert.model.configuration import InterBertConfig
from interbert.model.modeling import InterBertForPreTraining
from interbert.model.processing import InterBertProcessor
from interbert.model.region_inputs import InterBertRegionFeatureExtractor
from interbert.regions.schema import RegionReader
from interbert.tasks.pretraining import PretrainingTask
from interbert.training.arguments import attention_for_training, cut_of, trainer_arguments, uses_bf16
from interbert.training.baselines import baseline_losses
from interbert.training.going_on import goes_on, pretrained_model, pretrained_processor
from interbert.training.model_card import provenance
from interbert.training.options import ModelOptions, PretrainOptions
from interbert.training.plan import plan_of
from interbert.training.run_setup import (
    Curriculum,
    TrainingData,
    as_recipe,
    claim_folder,
    claim_regions,
    curriculum,
    main_process,
    mark_finished,
    one_run,
    open_data,
    run_negatives,
)
from interbert.training.trainer import InterBertTrainer, last_checkpoint
from interbert.training.warm_start import WarmStartData, can_warm_start, start_in_balance, warm_start
from interbert.utils.files import atomic_write
from interbert.utils.redaction import published
from interbert.utils.row_file import Changed

_logger = logging.getLogger(__name__)

INITIALISATION = "initialisation.json"
"""What a BERT filled and what started random, by name; in the model directory."""
_COMPANY_PAIRS = 200_000
"""About so many pairs say where the rows of new tokens start."""


def pretrain(options: PretrainOptions) -> None:
    """Pretrain into ``options.out``; the same call continues a stopped run and does nothing after a finished one.

    Raises:
        UsageError, StoreError, SourceError: options or data do not fit; see the message.
        TrainingError: the loss is not finite.
    """
    with one_run(options.out):
        _pretrain(options)


def _pretrain(options: PretrainOptions) -> None:
    recipe = as_recipe(options)
    data = open_data(
        options.regions,
        options.validation,
        options.validation_share,
        options.validation_limit,
        options.text_columns,
        options.training.seed,
        options.more_regions,
    )
    out = Path(options.out)
    if claim_folder(out, recipe):
        _logger.info(f"{out}: this run is finished, nothing to do")
        return
    claim_regions(out, data.store)
    set_seed(options.training.seed)
    going_on = goes_on(options.init_from)
    processor = pretrained_processor(options, data.store) if going_on else _processor(options, data)
    model, filled = _pretrained(options, data.store) if going_on else _model(options, data, processor)
    pairs = PairData(data.table, data.store, processor, options.training.seed, options.regions)
    cut = cut_of(options.training)
    batches = EpochBatches(pairs.lengths, options.training.batch_size, options.training.seed, cut, data.visits)
    contrast = model.config.contrastive_size is not None
    lm_on_mismatched = model.config.lm_loss_on_mismatched
    texts, images = data.validation.encode(data.validation_store, processor)
    # without a dual encoder the joint model is all there is to judge
    task = PretrainingTask(data.validation, texts, images, joint=model.config.contrastive_size is None)
    if can_warm_start(model, options.warm_start) and not going_on and last_checkpoint(out) is None:
        scaled = partial(processor.feature_extractor.standardise, where=options.regions)
        known = WarmStartData(pairs, Changed(data.pooled(out), scaled), task)
        warm_start(model, known, options.warm_start, out, uses_bf16(options.training))
    # after the warm start, whose trainer has other ones: they are of the process
    arguments = trainer_arguments(options.training, out, len(batches))
    stretch = plan_of(options.training, len(batches)).stretch
    hard = curriculum(options.negatives, batches.pairs, options.training.batch_size * cut.parts, stretch)
    negatives = run_negatives(options.negatives, out, data, arguments)
    dataset = _dataset(options, pairs, negatives, hard, model.config)
    trainer = InterBertTrainer(
        model,
        arguments,
        options.training,
        out,
        dataset,
        batches,
        PretrainingCollator(data.table, processor.pad_token_id, contrast, lm_on_mismatched),
        task,
        processor,
        provenance(recipe, data.fingerprints()),
        baseline_losses(
            pairs.ids,
            data.store,
            model.config.region_objective,
            options.training.batch_size * cut.processes,
            options.mismatched_share,
        ),
        filled,
        names=data.table.texts,
    )
    trainer.train_or_resume()
    mark_finished(out)


def _processor(options: PretrainOptions, data: TrainingData) -> InterBertProcessor:
    published = published_tokenizer(options.init_from)
    tokenizer, growth = grow_vocabulary(fitted_to_vocabulary(published), data.table.texts, data.validation_texts)
    _logger.info(f"vocabulary: {growth}")
    if main_process():
        report_unknown_words(published, tokenizer, data.table.texts, Path(options.out))
    mean, std = data.store.feature_statistics(seed=options.training.seed)
    scaling = InterBertRegionFeatureExtractor(data.store.info.to_dict(), mean.tolist(), std.tolist(), data.store.folder)
    return InterBertProcessor(scaling, tokenizer, options.max_text_tokens)


def _model(
    options: PretrainOptions, data: TrainingData, processor: InterBertProcessor
) -> tuple[InterBertForPreTraining, frozenset[str]]:
    config = _config(options, data.store, len(processor.tokenizer))
    if options.max_text_tokens > config.max_position_embeddings:
        raise ConfigError(
            f"max_text_tokens {options.max_text_tokens} is more than the {config.max_position_embeddings} positions "
            f"of {options.init_from}."
        )
    model = InterBertForPreTraining(config)
    model.set_attn_implementation(attention_for_training())
    report = initialise_from_bert(model, options.init_from)
    filled = frozenset(report.filled)
    words = model.interbert.text_embeddings.word_embeddings.weight
    if len(words) > report.vocab_size:
        chosen = _some_images(data.table.groups, options.training.seed)
        ids = processor.texts_to_ids([data.table.texts[pair] for pair in chosen])
        groups, latin = data.table.groups[chosen].tolist(), latin_tokens(processor.tokenizer)
        translated = fill_new_rows(words, report.vocab_size, ids, groups, latin, options.training.seed)
        _logger.info(f"vocabulary: {translated} new tokens start from known ones that describe the same images")
        filled -= {"interbert.text_embeddings.word_embeddings.weight"}  # new rows have as far to go as random ones
    if not can_warm_start(model, options.warm_start):
        start_in_balance(model.interbert.image_embeddings)
    _record(options, model, report)
    return model, filled


def _pretrained(options: PretrainOptions, store: RegionReader) -> tuple[InterBertForPreTraining, frozenset[str]]:
    model, report, filled = pretrained_model(options, store)
    model.set_attn_implementation(attention_for_training())
    _record(options, model, report)
    return model, filled


def _record(options: PretrainOptions, model: InterBertForPreTraining, report: FillReport) -> None:
    total = sum(parameter.numel() for parameter in model.parameters())
    _logger.info(f"model: {total:,} parameters; {report}")
    content = json.dumps(published(report.to_dict()), indent=2) + "\n"
    atomic_write(Path(options.out) / INITIALISATION, content)


def _some_images(groups: NDArray[np.int64], seed: int) -> list[int]:
    """Pairs of a sample of images, all pairs of each: enough to see which tokens keep company."""
    unique = np.unique(groups)
    share = min(1.0, _COMPANY_PAIRS / max(1, len(groups)))
    chosen = np.random.default_rng(seed).permutation(unique)[: math.ceil(share * len(unique))]
    found: list[int] = np.flatnonzero(np.isin(groups, chosen)).tolist()
    return found


def _skip_size(chosen: ModelOptions) -> int | None:
    """A third of the dual encoder's vectors, which words and the global token alone make, where words have a table."""
    lexical = chosen.config_overrides.get("contrastive_lexical", True)
    return (chosen.contrastive_size or 0) // 3 or None if lexical else None


def _config(options: PretrainOptions, store: RegionReader, vocabulary: int) -> InterBertConfig:
    chosen: ModelOptions = options.model
    config = config_for_bert(
        options.init_from,
        **{
            "vocab_size": vocabulary,
            "region_feature_size": store.info.feature_size,
            "num_region_classes": store.info.num_classes or 1,
            "pooler_size": chosen.pooler_size,
            "contrastive_size": chosen.contrastive_size,
            # titles tell products apart by brands and model names, which a vector per token keeps
            "contrastive_lexical": chosen.contrastive_size is not None,
            "contrastive_skip_size": _skip_size(chosen),
            "hidden_dropout_prob": chosen.dropout,
            "image_hidden_dropout_prob": chosen.dropout,
            "region_feature_dropout_prob": chosen.region_dropout,
            "attention_probs_dropout_prob": chosen.attention_dropout,
            "image_attention_probs_dropout_prob": chosen.attention_dropout,
            "lm_loss_weight": chosen.lm_loss_weight,
            **chosen.config_overrides,
        },
    )
    if config.region_objective == "classify" and store.info.num_classes is None:
        raise ConfigError(
            f"{store.path}: its extractor gives no class distribution. Set region_objective to 'regress' in "
            "model.config_overrides."
        )
    return config


def _dataset(
    options: PretrainOptions, pairs: PairData, negatives: Negatives, hard: Curriculum, config: InterBertConfig
) -> PretrainingPairs:
    masking = options.masking
    return PretrainingPairs(
        pairs,
        negatives,
        hard,
        SegmentMasking(masking.text, masking.text_max_share, masking.token_share),
        RegionMasking(masking.regions),
        config.region_objective,
        options.mismatched_share,
    )
