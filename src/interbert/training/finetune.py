"""Fine-tuning for caption-based image retrieval (SPEC part 4): four pairs per positive, averaged weights."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from transformers import TrainingArguments, set_seed

from interbert.checkpoints.bert import bert_names
from interbert.checkpoints.directory import load_model, load_processor, replaced_files
from interbert.data.collation import RetrievalCollator
from interbert.data.examples import PairData, RetrievalPairs, TruePairs
from interbert.data.negatives import Negatives
from interbert.data.qrels import QrelsTexts
from interbert.data.sampling import EpochBatches
from interbert.errors import ConfigError
from interbert.model.configuration import NO_MIXTURE
from interbert.model.modeling import InterBertForImageTextRetrieval
from interbert.model.processing import InterBertProcessor
from interbert.model.scoring import encode_texts
from interbert.regions.schema import ExtractorInfo
from interbert.tasks.frozen import scores_by_titles
from interbert.tasks.likeness import keep_likeness
from interbert.tasks.metrics import best_ranks
from interbert.tasks.retrieval import RetrievalTask, encode_images
from interbert.tasks.score_fusion import build_in
from interbert.training.arguments import attention_for_training, cut_of, trainer_arguments
from interbert.training.baselines import baseline_losses
from interbert.training.choice import interval
from interbert.training.model_card import provenance
from interbert.training.options import FinetuneRetrievalOptions
from interbert.training.pair_vectors import pair_vectors
from interbert.training.plan import plan_of
from interbert.training.run_setup import (
    TrainingData,
    as_recipe,
    claim_folder,
    curriculum,
    main_process,
    mark_finished,
    one_run,
    open_data,
    run_negatives,
)
from interbert.training.trainer import InterBertTrainer
from interbert.utils.transformers_logging import quiet_transformers

_logger = logging.getLogger(__name__)

_MISMATCHES = 0.75  # one true pair and three false ones
_IN_BATCH_MISMATCHES = 2 / 3
_BEFORE_FINISH = {**NO_MIXTURE, "query_bank_size": None, "likeness_size": None}
"""What only a finished model has."""
_READS_JOINTLY = "the best candidates are read jointly"
_DUAL_ALONE = (
    "that is no gain beyond chance, so the model's scores are the dual encoder's alone and searches do not rerank; "
    "more validation images tell smaller gains"
)
_NOT_ABOVE = (
    "no gain beyond chance over no training at all. {images:,} training images are few; docs/training.md says from how "
    "many on training pays"
)
_LIKENESS_IMAGES = 4096
_FROZEN_IMAGES = 16_384
"""Training images whose features a text is sought by without training."""
_AT_ONCE = 64
"""Images whose regions are held to take the global token of."""
_QUERY_BANK = 2048
"""Texts of the query bank: as good as all 12,000 of a catalogue."""
_HUB_CORRECTION = 0.5
"""Share of an image's nearness to just any training text that is taken off its dual score, so that an image near to
everything does not come first everywhere; larger shares are no better (benchmarks/results/training_trials.md). The
model's configuration has it as ``hub_correction``, where 0 turns it off."""


def finetune_retrieval(options: FinetuneRetrievalOptions) -> None:
    """Fine-tune into ``options.out``; the same call continues a stopped run and does nothing after a finished one.

    Raises:
        CheckpointError: ``options.model`` is no model directory.
        StoreError: the regions were made by another extractor than the model's.
        UsageError, SourceError: options or data do not fit; see the message.
        TrainingError: the loss is not finite.
    """
    with one_run(options.out):
        _finetune(options)


def _finetune(options: FinetuneRetrievalOptions) -> None:
    recipe = as_recipe(options)
    processor = load_processor(options.model)
    data = open_data(
        options.regions,
        options.validation,
        options.validation_share,
        options.validation_limit,
        options.text_columns,
        options.training.seed,
        options.more_regions,
        _judged(options),
    )
    data.store.require(ExtractorInfo.from_dict(processor.extractor_info))
    out = Path(options.out)
    if claim_folder(out, recipe):
        _logger.info(f"{out}: this run is finished, nothing to do")
        return
    set_seed(options.training.seed)
    model = load_model(options.model, **_overrides(options))
    model.set_attn_implementation(attention_for_training())
    pairs = PairData(data.table, data.store, processor, options.training.seed, options.regions)
    contrast = model.config.contrastive_size is not None and options.contrastive_loss_weight > 0
    cut = cut_of(options.training)
    batches = EpochBatches(pairs.lengths, options.training.batch_size, options.training.seed, cut, data.visits)
    no_dual = not contrast and model.config.contrastive_size is not None
    arguments = trainer_arguments(options.training, out, len(batches), some_unused=no_dual)
    stretch = plan_of(options.training, len(batches)).stretch
    hard = curriculum(options.negatives, batches.pairs, options.training.batch_size * cut.parts, stretch)
    in_batch = options.negatives.mine == "batch"
    dataset: TruePairs | RetrievalPairs
    if in_batch:
        _require_dual(options, model)
        dataset = TruePairs(pairs, hard)
    else:
        dataset = RetrievalPairs(pairs, _negatives(options, data, pairs, processor, model, arguments), hard)
    texts, images = data.validation.encode(data.validation_store, processor)
    mismatches = _IN_BATCH_MISMATCHES if in_batch else _MISMATCHES
    chance = baseline_losses(pairs.ids, data.store, "classify", options.training.batch_size * cut.processes, mismatches)
    task = RetrievalTask(data.validation, texts, images)
    trainer = InterBertTrainer(
        model,
        arguments,
        options.training,
        out,
        dataset,
        batches,
        RetrievalCollator(data.table, processor.pad_token_id, contrast),
        task,
        processor,
        provenance(recipe, data.fingerprints() | {"started_from": options.model}),
        chance,
        frozenset(bert_names(model.config, has_lm_head=False)),
        judge_start=True,
        names=data.table.texts,
    )
    trainer.train_or_resume()
    if model.config.contrastive_size is not None and main_process():
        _finish(options, out, task, pairs, data, processor)
    mark_finished(out)


def _judged(options: FinetuneRetrievalOptions) -> QrelsTexts | None:
    if options.qrels is None:
        return None
    return QrelsTexts.read(options.qrels, options.qrels_columns, options.min_grade, options.query_texts)


def _finish(
    options: FinetuneRetrievalOptions,
    out: Path,
    task: RetrievalTask,
    pairs: PairData,
    data: TrainingData,
    processor: InterBertProcessor,
) -> None:
    """Correct the kept model's dual score for hubs, mix it into its joint one, compare images; safe to repeat."""
    model = load_model(out, **_BEFORE_FINISH)
    model.keep_query_bank(_query_bank(model, pairs, options.training.seed), _HUB_CORRECTION)
    _fuse_dual_scores(model, task)
    _choose_depth(model, task)
    rows, features = _global_tokens(data, processor, options.training.seed)
    _compare_images(model, task, features[:_LIKENESS_IMAGES])
    _compare_with_features(model, task, data, rows, features)
    with replaced_files(out) as part, quiet_transformers():
        model.save_pretrained(part)


def _query_bank(model: InterBertForImageTextRetrieval, pairs: PairData, seed: int) -> Tensor:
    """Vectors [K,D] of a sample of the training texts, each once."""
    _, first = np.unique(pairs.table.text_ids, return_index=True)
    chosen = np.random.default_rng(seed).permutation(first)[:_QUERY_BANK]
    return torch.from_numpy(encode_texts(model, [pairs.ids[int(pair)].tolist() for pair in chosen]))


def _global_tokens(
    data: TrainingData, processor: InterBertProcessor, seed: int
) -> tuple[list[int], NDArray[np.float32]]:
    """Store rows of a sample of the training images, and the features [n,F] of their global tokens."""
    rows: list[int] = np.random.default_rng(seed).permutation(np.unique(data.table.rows))[:_FROZEN_IMAGES].tolist()
    blocks = [rows[start : start + _AT_ONCE] for start in range(0, len(rows), _AT_ONCE)]
    # block by block: a first row that is not copied holds its whole image, and all of them take a gigabyte
    parts = [np.stack([one[0][0] for one in encode_images(data.store, block, processor)]) for block in blocks]
    return rows, np.concatenate(parts)


def _compare_images(model: InterBertForImageTextRetrieval, task: RetrievalTask, features: NDArray[np.float32]) -> None:
    """Keep the components of training images' features [n,F] that images are compared by, too."""
    held = task.data
    texts = [" ".join(held.texts[text] for text in np.flatnonzero(column)) for column in held.relevant.T]
    share = keep_likeness(model, features, task.images, texts)
    if share is None:
        _logger.info("likeness of images: by trained vectors alone, since the extractor's features are all the same")
        return
    _logger.info(
        f"likeness of images: {1 - share:.1f} x trained vectors + {share:.1f} x the extractor's features, by the texts "
        f"of the likest of {task.data_size}"
    )


def _compare_with_features(
    model: InterBertForImageTextRetrieval,
    task: RetrievalTask,
    data: TrainingData,
    rows: list[int],
    features: NDArray[np.float32],
) -> None:
    """Say what the model finds on validation that titles and the extractor's features, untrained, do not."""
    if model.likeness is None or task.judged is None:
        return
    with torch.inference_mode():
        known, candidates = (
            model.likeness(torch.from_numpy(one[:, None]).to(model.device)).cpu().numpy()
            for one in (features, np.stack([one[0][0] for one in task.images]))
        )
    place = {row: index for index, row in enumerate(rows)}
    pairs = [pair for pair, row in enumerate(data.table.rows.tolist()) if row in place]
    titles = [data.table.texts[pair] for pair in pairs]
    pair_features = known[[place[int(data.table.rows[pair])] for pair in pairs]]
    scores = scores_by_titles(titles, pair_features, task.data.texts, candidates)
    frozen = task.judge(best_ranks(scores, task.data.relevant))
    more, alone, ours = task.judged.estimate(frozen), frozen.estimate(), task.judged.estimate()
    _logger.info(
        f"untrained, titles and the extractor's features find the right image first for {alone.value:.1f}% "
        f"{interval(alone, signed=False)} of the validation texts, this model for {ours.value:.1f}% "
        f"{interval(ours, signed=False)}: {more.value:+.1f} {interval(more)}"
        + ("" if more.low > 0 else f", {_NOT_ABOVE.format(images=len(np.unique(data.table.rows)))}")
    )


def _fuse_dual_scores(model: InterBertForImageTextRetrieval, task: RetrievalTask) -> None:
    """Add the dual score to the joint one, weighted as validation pairs have it, where they can tell a weight."""
    task.evaluate(model)
    fit = task.fusion
    if fit is None:
        _logger.info(
            f"mixture: {task.data_size} cannot tell what the dual score is worth; the joint one ranks as it is"
        )
        return
    chosen, gain = fit.chosen, fit.gain
    build_in(model, chosen)
    _logger.info(f"mixture: {chosen.joint:.2f} x joint + {chosen.dual:.1f} x cosine, fitted on {task.data_size}")
    _logger.info(
        f"reading jointly changes the reciprocal rank of the right image by {gain.value:+.3f} "
        f"[{gain.low:+.3f}, {gain.high:+.3f}]: " + (_READS_JOINTLY if model.config.reads_jointly else _DUAL_ALONE)
    )


def _choose_depth(model: InterBertForImageTextRetrieval, task: RetrievalTask) -> None:
    """Keep which candidates searches need not read jointly, where validation can tell."""
    if not model.config.reads_jointly or not model.config.dual_score_weight:
        return
    depth = task.rerank_depth(model)
    if depth is None:
        _logger.info(f"reranking: every candidate is read; {task.data_size} show none that need not be")
        return
    model.config.rerank_depth, model.config.rerank_reach = depth.depth, depth.reach
    model.config.unread_score = depth.unread
    lost = depth.lost
    _logger.info(
        f"reranking: of {task.deepest} candidates {depth.read:.1f} are read, those that can come to the first places; "
        f"R@1 {-100 * lost.value:+.1f} [{-100 * lost.high:+.1f}, {-100 * lost.low:+.1f}] on {task.data_size}"
    )


def _overrides(options: FinetuneRetrievalOptions) -> dict[str, Any]:
    """Configuration fields that fine-tuning changes."""
    fields: dict[str, Any] = {"contrastive_loss_weight": options.contrastive_loss_weight, **_BEFORE_FINISH}
    if options.dropout is not None:
        fields |= {"hidden_dropout_prob": options.dropout, "image_hidden_dropout_prob": options.dropout}
    return fields


def _require_dual(options: FinetuneRetrievalOptions, model: InterBertForImageTextRetrieval) -> None:
    if model.config.contrastive_size is None:
        raise ConfigError(
            f"{options.model}: has no dual encoder to find negatives with. Set negatives.mine to 'neighbours', or "
            "pretrain with model.contrastive_size."
        )


def _negatives(
    options: FinetuneRetrievalOptions,
    data: TrainingData,
    pairs: PairData,
    processor: InterBertProcessor,
    model: InterBertForImageTextRetrieval,
    arguments: TrainingArguments,
) -> Negatives:
    """Pools of hard negatives, by neighbours or from the model the run starts from."""
    chosen = options.negatives
    if chosen.mine == "model" and chosen.hard_share > 0:
        _require_dual(options, model)

    def by_model() -> Negatives:
        texts, images = pair_vectors(model, pairs, data.store, processor, Path(options.out))
        return Negatives.from_vectors(data.table, texts, images, near_same=chosen.near_same)

    def by_judgement() -> Negatives:
        return Negatives.judged(data.table, chosen.near_same)

    mining = {"model": by_model, "judged": by_judgement}.get(chosen.mine)
    return run_negatives(chosen, Path(options.out), data, arguments, mining)
