"""``interbert finetune backbone``: read, learn, judge, keep."""

from __future__ import annotations

import json
import logging
import math
import shutil
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save_file

from interbert.adaptation.heads import Attributes, ProjectionHeads
from interbert.adaptation.maps import ImageMaps, image_maps
from interbert.adaptation.options import BackboneOptions
from interbert.adaptation.task import AdaptedBackbone, BackboneTask, Catalogue, HeadsTask
from interbert.checkpoints.bert import FrozenBert, config_for_bert
from interbert.checkpoints.vocabulary import grow_vocabulary
from interbert.data.pairs import PairTable
from interbert.data.subset import sample_groups
from interbert.errors import ConfigError, SourceError, UsageError
from interbert.extraction.attributes import facet_columns_in
from interbert.extraction.columns import ColumnMapping
from interbert.extraction.efficientnet import EfficientNetLite0
from interbert.extraction.grid import GridExtractor, GridSettings
from interbert.extraction.joining import CatalogueColumns
from interbert.extraction.sources import ImageSource, open_source
from interbert.extraction.weights import pick_device
from interbert.model.processing import token_ids
from interbert.training.arguments import CHECKPOINTS, trainer_arguments, up_then_down
from interbert.training.model_card import provenance, write_provenance
from interbert.training.options import TrainingOptions
from interbert.training.run_setup import as_recipe, claim_folder, mark_finished, one_run
from interbert.training.stage import KeysAlone, Stage, train_stage
from interbert.training.trainer import LOG_HISTORY, InterBertTrainer, last_checkpoint
from interbert.utils.extractor_weights import WEIGHTS_FILE, digest_of
from interbert.utils.files import atomic_write, replacing

_logger = logging.getLogger(__name__)

LOG = LOG_HISTORY
_MAPS = "maps"
_HEADS = "heads"
_HEADS_RATE = 2e-3
_WARM_UP = 0.05
_METRICS = ("r@1", "r@5", "r@10", "candidates")


def finetune_backbone(options: BackboneOptions) -> None:
    """Teach EfficientNet-Lite0's upper layers a catalogue, into ``options.out``; the same call continues.

    Raises:
        UsageError, SourceError, ColumnError, ConfigError: options or data do not fit; see the message.
        TrainingError: a loss is not finite.
        StorageError: the disk is full; epochs that were finished stay.
    """
    with one_run(options.out):
        _finetune(options)


def _finetune(options: BackboneOptions) -> None:
    recipe, out = as_recipe(options), Path(options.out)
    source = _open(options, options.source)
    held_source = None if options.validation is None else _open(options, options.validation)
    if claim_folder(out, recipe):
        _remove_work(out)  # of a run that was killed right after its end
        _logger.info(f"{out}: this run is finished, nothing to do")
        return
    if (out / "checkpoint.pt").is_file():
        raise UsageError(
            f"{out}: an earlier version began this run, which this one cannot continue. Name another folder."
        )
    columns = _columns(options, source)
    device = torch.device(pick_device(None))
    backbone = EfficientNetLite0().to(device)
    extractor = GridExtractor(GridSettings(input_size=options.input_size, scales=(1,)))
    if len(source) > options.limit:
        chosen = np.random.default_rng(options.seed).permutation(len(source))[: options.limit]
        source = source.select(np.sort(chosen).tolist())
    catalogue = CatalogueColumns(source, columns)  # before the images, so that a missing column is said at once
    maps = image_maps(source, extractor, backbone, out / _MAPS / "train", "reading")
    held_maps = maps
    if held_source is not None:
        held_maps = image_maps(held_source, extractor, backbone, out / _MAPS / "validation", "reading validation")
    known = Attributes.of(columns, _values(catalogue, maps, out))
    if known.columns:
        _logger.info(f"{source.name}: kinds of products in {', '.join(known.columns)}")
    attributes = known, known if held_source is None else _held_attributes(known, held_source, held_maps, out)
    train, judged, vocabulary = _catalogues(options, maps, held_maps, attributes, device)
    sizes = [len(values) for values in train.attributes.values]
    model = AdaptedBackbone(backbone, _heads_of(options, train, vocabulary), sizes, options.more_images).to(device)
    _train(model, train, judged, options, out)
    data = {"source": source.name, "images": str(len(maps)), "weights": digest_of(out / WEIGHTS_FILE)}
    write_provenance(out, provenance(recipe, data))
    mark_finished(out)
    _remove_work(out)


def _open(options: BackboneOptions, name: str) -> ImageSource:
    mapping = ColumnMapping(
        options.image_column, tuple(options.text_columns), options.image_id_column, options.product_id_column
    )
    return open_source(name, mapping, options.split, need_texts=True)


def _columns(options: BackboneOptions, source: ImageSource) -> list[str]:
    """Columns that the images are told by."""
    if not options.column_loss_weight:
        return []
    if options.columns:
        return list(dict.fromkeys(options.columns))
    found = facet_columns_in(source, source.columns.texts)
    if found.left_out:
        _logger.info(f"{source.name}: columns that are no kinds of products: {found.told()}")
    return list(found.taken)


def _values(catalogue: CatalogueColumns, maps: ImageMaps, out: Path) -> list[tuple[str, ...]]:
    """What the columns say of the images that were read, perhaps by an earlier run that was stopped.

    Raises:
        SourceError: the source has changed since then.
    """
    found = catalogue.join(maps.captions) if catalogue.columns else None
    if found is not None and found.problems:
        place, reason = found.problems[0]
        raise SourceError(
            f"{out}: {len(found.problems):,} images of it cannot be found in {catalogue.name} any more, such as "
            f"{maps.captions[place].image_id[:60]!r}: {reason}. Begin anew in another folder."
        )
    return [()] * len(maps) if found is None else found.values


def _held_attributes(known: Attributes, held_source: ImageSource, held_maps: ImageMaps, out: Path) -> Attributes:
    """Of the images of another source to judge by, which may lack the columns."""
    if not set(known.columns) <= set(held_source.column_names):
        return Attributes.none(len(held_maps))
    return known.among(_values(CatalogueColumns(held_source, known.columns), held_maps, out))


def _catalogues(
    options: BackboneOptions,
    maps: ImageMaps,
    held_maps: ImageMaps,
    attributes: tuple[Attributes, Attributes],
    device: torch.device,
) -> tuple[Catalogue, Catalogue, int]:
    """What to learn from, what to judge by, and the number of tokens."""
    table = PairTable.from_captions(maps.captions, options.text_columns, options.source)
    if held_maps is maps:
        table, held = table.split(options.validation_share, options.seed)
    else:
        held = PairTable.from_captions(held_maps.captions, options.text_columns, options.validation or "")
    if len(table) < 2 or not len(held):
        raise ConfigError(
            f"{options.source}: {len(table) + len(held)} pairs are too few to hold {options.validation_share:.0%} out. "
            "Give a --validation source, or a larger --validation-share."
        )
    held = _sample(held, attributes[1], options)
    bert = FrozenBert(options.init_from)
    tokenizer, growth = grow_vocabulary(bert.tokenizer, table.texts, held.texts)
    _logger.info(f"vocabulary: {growth}")
    train, judged = (
        Catalogue(of, part, bert.states(part.texts, device, bf16=None), token_ids(tokenizer, part.texts), said)
        for of, part, said in zip((maps, held_maps), (table, held), attributes, strict=True)
    )
    return train, judged, len(tokenizer)


def _sample(held: PairTable, attributes: Attributes, options: BackboneOptions) -> PairTable:
    """At most ``validation_limit`` images to judge by: whole products, each kind in proportion where it is known."""
    rows, groups = held.gallery()
    kinds = None
    if attributes.columns:  # the column with most values says best what a product is
        finest = max(range(len(attributes.columns)), key=lambda place: len(attributes.values[place]))
        kinds = attributes.numbers[rows, finest]
    chosen = rows[sample_groups(groups, options.validation_limit, options.seed, np.isin(rows, held.rows), kinds)]
    return held.select(np.isin(held.rows, chosen), np.isin(held.unpaired[:, 0], chosen))


def _heads_of(options: BackboneOptions, train: Catalogue, vocabulary: int) -> ProjectionHeads:
    pooled = train.maps.pooled[np.unique(train.table.rows)].reshape(-1, train.maps.pooled.shape[2])
    config = config_for_bert(options.init_from, vocab_size=vocabulary, region_feature_size=pooled.shape[1])
    config.contrastive_size = config.pooler_size = config.hidden_size
    config.contrastive_lexical = True
    mean, std = torch.from_numpy(pooled.mean(axis=0)), torch.from_numpy(pooled.std(axis=0))
    torch.manual_seed(options.seed)
    return ProjectionHeads(config, mean, std + 1e-6, options.dropout)


class _Trainer(InterBertTrainer):
    """Keeps the best pass's network alone, and one line of log a pass, once its checkpoint is written."""

    start_counts = False

    def _keep(self, model: Any, metrics: Mapping[str, float]) -> None:
        state = {name: value.cpu().contiguous() for name, value in model.upper.state_dict().items()}
        with replacing(self._out / WEIGHTS_FILE) as part:
            save_file(state, part)

    def _write_log(self) -> None:
        """Nothing yet: a pass whose checkpoint was not written did not happen."""
        if self.state.global_step == 0:
            self._publish()

    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        super()._save_checkpoint(model, trial)
        self._publish()

    def _publish(self) -> None:
        lines = passes(self.state.log_history)
        atomic_write(self._out / LOG, "".join(json.dumps(line) + "\n" for line in lines))

    def _say_what_is_kept(self) -> None:
        self._publish()
        before, *after = (line["r@1"] for line in passes(self.state.log_history))
        best = max(after)
        _logger.info(f"kept: the best of {len(after)} passes, R@1 {best:.1f}; the network as it was: {before:.1f}")
        if best <= before:
            _logger.info("the catalogue taught it nothing that shows on the validation images: extract without it")


def passes(history: Sequence[Mapping[str, float]]) -> list[dict[str, float]]:
    """Of the trainer's entries, a line for the network as it was and for each pass: mean losses, then metrics."""
    lines: list[dict[str, float]] = []
    trained: list[tuple[float, Mapping[str, float]]] = []
    last = 0.0
    for entry in history:
        if "loss" in entry:
            trained.append((entry["step"] - last, entry))
            last = entry["step"]
        elif "eval_r@1" in entry:
            names = [name for name in ("contrast", "classes", "attributes") if trained and name in trained[0][1]]
            steps = sum(count for count, _ in trained)
            means = {name: round(sum(count * one[name] for count, one in trained) / steps, 4) for name in names}
            line = {"epoch": round(entry["epoch"]), **means}
            ours = sorted((name[5:] for name in entry if name.startswith("eval_")), key=_place_in_line)
            metrics = {name: entry[f"eval_{name}"] for name in ours}
            metrics["candidates"] = int(metrics["candidates"])
            lines.append(line | metrics | line)  # a column's name may be one of the log's
            trained = []
    return lines


def _place_in_line(metric: str) -> tuple[int, str]:
    """Recall first, columns last; a checkpoint has them by the alphabet."""
    return (_METRICS.index(metric), "") if metric in _METRICS else (len(_METRICS), metric)


def _train(model: AdaptedBackbone, train: Catalogue, judged: Catalogue, options: BackboneOptions, out: Path) -> None:
    """The heads, then everything; the network of the best pass is kept."""
    if last_checkpoint(out) is None:
        _fit_heads(model, train, options, out)
    training = TrainingOptions(
        epochs=options.epochs,
        batch_size=options.batch_size,
        learning_rate=options.learning_rate,
        bert_learning_rate_scale=options.head_learning_rate / options.learning_rate,
        weight_decay=options.weight_decay,
        ema_decay=options.ema_decay,
        precision="fp32",
        log_steps=sys.maxsize,
        seed=options.seed,
    )
    stage = Stage(
        "backbone",
        "learning_rate",
        _warm_cosine,
        ema_warm_up=False,
        seed_of_epoch=lambda epoch: options.seed + 1 + epoch,
    )
    task = BackboneTask(train, judged, options)
    batches = task.batches
    _Trainer(
        model,
        trainer_arguments(training, out, len(batches), report_to=[]),
        training,
        out,
        KeysAlone(len(batches)),
        batches,
        task.batch,
        task,
        None,
        {},
        {},
        frozenset(name for name, _ in model.named_parameters() if not name.startswith("upper.")),
        judge_start=True,
        stage=stage,
    ).train_or_resume()


def _fit_heads(model: AdaptedBackbone, train: Catalogue, options: BackboneOptions, out: Path) -> None:
    training = TrainingOptions(
        epochs=options.head_epochs, learning_rate=_HEADS_RATE, precision="fp32", seed=options.seed
    )
    task = HeadsTask(train, options)
    stage = Stage("heads", "learning_rate", up_then_down, decay_all=True)
    trained = [value for name, value in model.named_parameters() if not name.startswith("upper.")]
    train_stage(model, trained, task, training, out / _HEADS, task.batches, stage, {})


def _warm_cosine(step: int, steps: int) -> float:
    falling = 0.5 * (1 + math.cos(math.pi * min(1.0, step / steps)))
    return min(1.0, (step + 1) / max(1, round(_WARM_UP * steps))) * falling


def _remove_work(out: Path) -> None:
    """Remove what only an unfinished run needs."""
    for name in (_MAPS, _HEADS, CHECKPOINTS):
        shutil.rmtree(out / name, ignore_errors=True)
