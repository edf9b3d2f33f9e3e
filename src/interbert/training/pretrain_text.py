"""Pretraining on texts alone: masked segments (paper section 3.2) of titles and queries, into a BERT directory.

The model is transformers' own BERT, so that the directory is what any library, and ``--init-from``, opens as a BERT.
"""

from __future__ import annotations

import json
import logging
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from transformers import AutoTokenizer, BertConfig, BertForMaskedLM, PreTrainedTokenizerBase, set_seed

from interbert.checkpoints.normalising import fitted_to_vocabulary, restore_normalizer
from interbert.checkpoints.unknown_words import report_unknown_words
from interbert.checkpoints.word_pieces import given_word_pieces, learn_word_pieces
from interbert.data.masked_texts import MaskedTextCollator, MaskedTexts
from interbert.data.masking import MIN_SEGMENT_TOKENS, SegmentMasking
from interbert.data.sampling import EpochBatches
from interbert.data.text_sources import Texts, read_texts
from interbert.data.texts import FlatIds, FlatTexts, in_blocks
from interbert.errors import ConfigError, DataError, writing
from interbert.model.processing import token_ids
from interbert.tasks.masked_text import MaskedTextTask
from interbert.training.arguments import attention_for_training, cut_of, trainer_arguments
from interbert.training.baselines import token_entropy
from interbert.training.model_card import provenance
from interbert.training.run_setup import (
    LEFT_OUT,
    TEXTS,
    VALIDATION_LEFT_OUT,
    VOCABULARY,
    as_recipe,
    claim_folder,
    main_process,
    mark_finished,
    one_run,
)
from interbert.training.text_options import PretrainTextOptions
from interbert.training.trainer import InterBertTrainer, last_checkpoint
from interbert.utils.bounded_files import read_json, reading
from interbert.utils.files import atomic_write
from interbert.utils.transformers_logging import quiet_transformers

_logger = logging.getLogger(__name__)

_SPECIAL = 2
"""[CLS] and [SEP]."""


@dataclass(frozen=True)
class _Split:
    train: FlatTexts
    held: FlatTexts
    fingerprints: dict[str, str]


def pretrain_text(options: PretrainTextOptions) -> None:
    """Pretrain into ``options.out``; the same call continues a stopped run and does nothing after a finished one.

    Raises:
        UsageError: options or texts do not fit; see the message.
        DataError: the texts are others than when the run began, or it is not known whether they are.
        TrainingError: the loss is not finite.
    """
    with one_run(options.out):
        _pretrain_text(options)


def _pretrain_text(options: PretrainTextOptions) -> None:
    recipe = as_recipe(options)
    out = Path(options.out)
    if claim_folder(out, recipe):
        _logger.info(f"{out}: this run is finished, nothing to do")
        return
    split = _read(options, out)
    set_seed(options.training.seed)
    tokenizer = _tokenizer(options, split.train, out)
    train, held = (_masked(options, texts, tokenizer) for texts in (split.train, split.held))
    short = int((train.ids.lengths - _SPECIAL < MIN_SEGMENT_TOKENS).sum())
    if options.masking.text == "segment" and short:
        _logger.info(
            f"{short:,} of {len(train):,} texts have fewer than {MIN_SEGMENT_TOKENS} tokens, of which no segment is "
            "hidden: they teach nothing (masking.text token hides their tokens)"
        )
    model = _model(options, tokenizer)
    cut = cut_of(options.training)
    batches = EpochBatches(train.ids.lengths, options.training.batch_size, options.training.seed, cut)
    pad_id = int(tokenizer.pad_token_id)
    trainer = InterBertTrainer(
        model,
        trainer_arguments(options.training, out, len(batches)),
        options.training,
        out,
        train,
        batches,
        MaskedTextCollator(pad_id),
        MaskedTextTask(held, pad_id),
        tokenizer,
        provenance(recipe, split.fingerprints),
        {"lm_loss": token_entropy(train.ids)},
        names=split.train,
    )
    trainer.train_or_resume()
    mark_finished(out)


def _read(options: PretrainTextOptions, out: Path) -> _Split:
    """Read the texts, say what is left out, and hold some out to validate on."""
    found = read_texts([options.source, *options.more_sources], options.text_columns)
    _say(found, out, LEFT_OUT)
    if options.validation is not None:
        others = read_texts([options.validation], options.text_columns)
        _say(others, out, VALIDATION_LEFT_OUT)
        _claim_texts(out, found, {"fingerprint": found.fingerprint, "validation": others.fingerprint})
        limit = np.linspace(0, len(others.texts) - 1, min(options.validation_limit, len(others.texts)))
        held, known = others.texts.chosen(limit.astype(int).tolist()), set(found.texts)
        shared = sum(text in known for text in held)
        if shared:
            _logger.info(f"{options.validation}: {shared:,} of its texts are trained on, too")
        return _Split(found.texts, held, {"texts": found.fingerprint, "validation": others.fingerprint})
    _claim_texts(out, found, {"fingerprint": found.fingerprint})
    order = np.random.default_rng(options.training.seed).permutation(len(found.texts))
    count = min(options.validation_limit, max(1, round(options.validation_share * len(order))))
    if len(order) - count < 2:
        raise ConfigError(f"{options.source}: {len(order)} texts are too few to hold some out. Give more of them.")
    train, held = (found.texts.chosen(sorted(places.tolist())) for places in (order[count:], order[:count]))
    return _Split(train, held, {"texts": found.fingerprint})


def _say(found: Texts, out: Path, file: str) -> None:
    line = f"{len(found.texts):,} texts"
    if found.repeated:
        line += f"; {found.repeated:,} repeated ones are read once"
    if found.left_out.count:
        line += f"; {found.left_out.count:,} rows without a text are left out: {out / file}"
    if main_process():
        (out / file).unlink(missing_ok=True)  # of an attempt before
        if found.left_out.count:
            found.left_out.write(out / file)
    _logger.info(line)


def _claim_texts(out: Path, found: Texts, fingerprints: dict[str, str]) -> None:
    """Remember the texts of a run; when it goes on, check that they are the same, since places in them are its keys."""
    file = out / TEXTS
    if last_checkpoint(out) is not None:
        with reading(file, "Restore it, or name another folder."):
            before = read_json(file)
            kept = {"validation": fingerprints.get("validation")}  # which earlier versions did not remember
            changed = [name for name, now in fingerprints.items() if (kept | before)[name] != now]
        if changed:
            which = "validation texts" if changed[0] == "validation" else "texts"
            raise DataError(f"{out}: the run began with other {which}. Restore them, or name another folder.")
    elif main_process():
        counts = {"texts": len(found.texts), "repeated": found.repeated, "left out": found.left_out.count}
        atomic_write(file, json.dumps(fingerprints | counts, indent=2) + "\n")


def _tokenizer(options: PretrainTextOptions, texts: FlatTexts, out: Path) -> PreTrainedTokenizerBase:
    """The run's tokenizer: the one that it began with, given, or learnt; of several processes the first makes it."""
    folder = out / VOCABULARY
    alone = trainer_arguments(replace(options.training, max_steps=-1), out, 1)
    with alone.main_process_first(desc="vocabulary"):
        if main_process() and last_checkpoint(out) is None:
            _make_tokenizer(options, texts, out)
        with reading(folder / "tokenizer.json", "Restore it, or name another folder."):
            kept: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
            restore_normalizer(kept, folder)
    return kept


def _make_tokenizer(options: PretrainTextOptions, texts: FlatTexts, out: Path) -> None:
    positions = options.model.max_position_embeddings
    if options.vocabulary is None:
        published = tokenizer = learn_word_pieces(texts, options.vocabulary_size, positions)
        _logger.info(f"vocabulary: {len(tokenizer):,} tokens learnt from the texts")
    else:
        published = given_word_pieces(options.vocabulary, positions)
        tokenizer = fitted_to_vocabulary(published)
    report_unknown_words(published, tokenizer, texts, out)
    with writing(out / VOCABULARY), quiet_transformers():
        tokenizer.save_pretrained(out / VOCABULARY)


def _masked(options: PretrainTextOptions, texts: FlatTexts, tokenizer: Any) -> MaskedTexts:
    ids = FlatIds(token_ids(tokenizer, block, options.max_text_tokens) for block in in_blocks(texts))
    masking = SegmentMasking(options.masking.text, options.masking.text_max_share, options.masking.token_share)
    return MaskedTexts(ids, tokenizer, masking, options.training.seed)


def _model(options: PretrainTextOptions, tokenizer: PreTrainedTokenizerBase) -> BertForMaskedLM:
    chosen = options.model
    config = BertConfig(
        vocab_size=len(tokenizer),
        hidden_size=chosen.hidden_size,
        num_hidden_layers=chosen.num_layers,
        num_attention_heads=chosen.num_attention_heads,
        intermediate_size=chosen.intermediate_size,
        max_position_embeddings=chosen.max_position_embeddings,
        hidden_dropout_prob=chosen.dropout,
        attention_probs_dropout_prob=chosen.attention_dropout,
        initializer_range=chosen.initializer_range,
        pad_token_id=int(tokenizer.pad_token_id),
    )
    model = BertForMaskedLM(config)
    # the trainer warns of them when a run goes on, though they are the word embedding and the bias under another name
    model._keys_to_ignore_on_save = set(model._tied_weights_keys)
    model.set_attn_implementation(attention_for_training())
    total = sum(parameter.numel() for parameter in model.parameters())
    _logger.info(f"model: {total:,} parameters, all random")
    return model
