"""``interbert finetune backbone``: read, learn, judge, keep."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save_file

from interbert.adaptation.attribute_head import Attributes
from interbert.adaptation.learner import BackboneLearner, Catalogue
from interbert.adaptation.maps import PictureMaps, picture_maps
from interbert.adaptation.options import BackboneOptions
from interbert.adaptation.texts import CatalogueTexts
from interbert.adaptation.towers import Towers
from interbert.carried import CARRIED, digest_of
from interbert.checkpoints.bert import config_for_bert
from interbert.data.pairs import PairTable
from interbert.data.subset import sample_groups
from interbert.errors import ConfigError, SourceError, writing
from interbert.extraction.attributes import kinds_in
from interbert.extraction.columns import ColumnMapping
from interbert.extraction.efficientnet import EfficientNetLite0
from interbert.extraction.grid import GridExtractor, GridSettings
from interbert.extraction.joining import CatalogueColumns
from interbert.extraction.sources import PictureSource, open_source
from interbert.extraction.weights import pick_device
from interbert.tasks.metrics import direction_metrics
from interbert.terminal import say
from interbert.training.provenance import provenance, write_provenance
from interbert.training.session import as_recipe, claim_folder, mark_finished, one_run
from interbert.training.whole_file import write_whole

LOG = "log_history.jsonl"
_CHECKPOINT = "checkpoint.pt"
_MAPS = "maps"


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
        say(f"{out}: this run is finished, nothing to do")
        return
    columns = _columns(options, source)
    device = torch.device(pick_device(None))
    backbone = EfficientNetLite0().to(device)
    extractor = GridExtractor(GridSettings(input_size=options.input_size, scales=(1,)))
    if len(source) > options.limit:
        chosen = np.random.default_rng(options.seed).permutation(len(source))[: options.limit]
        source = source.select(np.sort(chosen).tolist())
    catalogue = CatalogueColumns(source, columns)  # before the pictures, so that a missing column is said at once
    maps = picture_maps(source, extractor, backbone, out / _MAPS / "train", "reading")
    held_maps = maps
    if held_source is not None:
        held_maps = picture_maps(held_source, extractor, backbone, out / _MAPS / "validation", "reading validation")
    known = Attributes.of(columns, _values(catalogue, maps, out))
    if known.columns:
        say(f"{source.name}: kinds of products in {', '.join(known.columns)}", flush=True)
    attributes = known, known if held_source is None else _held_attributes(known, held_source, held_maps, out)
    train, judged, vocabulary = _catalogues(options, maps, held_maps, attributes, device)
    learner = BackboneLearner(backbone, _towers(options, train, vocabulary).to(device), train, options)
    _learn(learner, options, judged, out)
    shutil.rmtree(out / _MAPS)
    (out / _CHECKPOINT).unlink(missing_ok=True)
    data = {"source": source.name, "pictures": str(len(maps)), "weights": digest_of(out / CARRIED)}
    write_provenance(out, provenance(recipe, data))
    mark_finished(out)


def _open(options: BackboneOptions, name: str) -> PictureSource:
    mapping = ColumnMapping(options.picture, tuple(options.texts), options.picture_id, options.product_id)
    return open_source(name, mapping, options.split, need_texts=True)


def _columns(options: BackboneOptions, source: PictureSource) -> list[str]:
    """Columns that the pictures are told by."""
    if not options.column_loss_weight:
        return []
    if options.columns:
        return list(dict.fromkeys(options.columns))
    found = kinds_in(source, source.columns.texts)
    if found.left_out:
        say(f"{source.name}: columns that are no kinds of products: {found.told()}", flush=True)
    return list(found.taken)


def _values(catalogue: CatalogueColumns, maps: PictureMaps, out: Path) -> list[tuple[str, ...]]:
    """What the columns say of the pictures that were read, perhaps by an earlier run that was stopped.

    Raises:
        SourceError: the source has changed since then.
    """
    found = catalogue.join(maps.captions) if catalogue.columns else None
    if found is not None and found.problems:
        place, reason = found.problems[0]
        raise SourceError(
            f"{out}: {len(found.problems):,} pictures of it cannot be found in {catalogue.name} any more, such as "
            f"{maps.captions[place].picture_id[:60]!r}: {reason}. Begin anew in another folder."
        )
    return [()] * len(maps) if found is None else found.values


def _held_attributes(known: Attributes, held_source: PictureSource, held_maps: PictureMaps, out: Path) -> Attributes:
    """Of the pictures of another source to judge by, which may lack the columns."""
    if not set(known.columns) <= set(held_source.column_names):
        return Attributes.none(len(held_maps))
    return known.among(_values(CatalogueColumns(held_source, known.columns), held_maps, out))


def _catalogues(
    options: BackboneOptions,
    maps: PictureMaps,
    held_maps: PictureMaps,
    attributes: tuple[Attributes, Attributes],
    device: torch.device,
) -> tuple[Catalogue, Catalogue, int]:
    """What to learn from, what to judge by, and the number of word pieces."""
    table = PairTable.from_captions(maps.captions, options.texts, options.source)
    if held_maps is maps:
        table, held = table.split(options.validation_share, options.seed)
    else:
        held = PairTable.from_captions(held_maps.captions, options.texts, options.validation or "")
    if len(table) < 2 or not len(held):
        raise ConfigError(
            f"{options.source}: {len(table) + len(held)} pairs are too few to hold {options.validation_share:.0%} out. "
            "Give a --validation source, or a larger --validation_share."
        )
    held = _sample(held, attributes[1], options)
    texts = CatalogueTexts(options.init_from, table.texts, held.texts)
    train, judged = (
        Catalogue(of, part, texts.vectors(part.texts, device), texts.pieces(part.texts), said)
        for of, part, said in zip((maps, held_maps), (table, held), attributes, strict=True)
    )
    return train, judged, texts.vocabulary


def _sample(held: PairTable, attributes: Attributes, options: BackboneOptions) -> PairTable:
    """At most ``validation_limit`` pictures to judge by: whole products, each kind in proportion where it is known."""
    rows, groups = held.gallery()
    kinds = None
    if attributes.columns:  # the column with most values says best what a product is
        finest = max(range(len(attributes.columns)), key=lambda place: len(attributes.values[place]))
        kinds = attributes.numbers[rows, finest]
    chosen = rows[sample_groups(groups, options.validation_limit, options.seed, np.isin(rows, held.rows), kinds)]
    return held.select(np.isin(held.rows, chosen), np.isin(held.unpaired[:, 0], chosen))


def _towers(options: BackboneOptions, train: Catalogue, vocabulary: int) -> Towers:
    pooled = train.maps.pooled[np.unique(train.table.rows)].reshape(-1, train.maps.pooled.shape[2])
    config = config_for_bert(options.init_from, vocab_size=vocabulary, region_feature_size=pooled.shape[1])
    config.contrastive_size = config.pooler_size = config.hidden_size
    config.contrastive_lexical = True
    mean, std = torch.from_numpy(pooled.mean(axis=0)), torch.from_numpy(pooled.std(axis=0))
    torch.manual_seed(options.seed)
    return Towers(config, mean, std + 1e-6, options.dropout)


def _learn(learner: BackboneLearner, options: BackboneOptions, judged: Catalogue, out: Path) -> None:
    """All passes that are still to do; the network of the best is kept."""
    log, checkpoint = out / LOG, out / _CHECKPOINT
    if checkpoint.is_file():
        learner.load(checkpoint)
        _cut_log(log, learner.epochs_done)
    else:
        learner.fit_heads()
        _judge(learner, judged, log, {})
        learner.save(checkpoint)
    while learner.epochs_done < options.epochs:
        losses = learner.epoch()
        best = max((one["r@1"] for one in _history(log)[1:]), default=-1.0)
        if _judge(learner, judged, log, losses) >= best:
            _keep(learner, out)
        learner.save(checkpoint)
    history = _history(log)
    before, best = history[0]["r@1"], max(one["r@1"] for one in history[1:])
    say(f"kept: the best of {options.epochs} passes, R@1 {best:.1f}; the network as it was: {before:.1f}", flush=True)
    if best <= before:
        say("the catalogue taught it nothing that shows on the validation pictures: extract without it", flush=True)


def _judge(learner: BackboneLearner, judged: Catalogue, log: Path, losses: dict[str, float]) -> float:
    """R@1 of the validation texts over the validation pictures, written to the log and the screen."""
    described = learner.described(judged)
    shown, groups = judged.table.gallery()
    right = judged.table.right_of_groups(np.arange(len(judged.table)), groups)
    recall = direction_metrics(described.texts @ described.pictures[shown].T, right).recall
    found = {name: one.value for name, one in recall.items()}
    line = {"epoch": learner.epochs_done, **losses, **found, "candidates": len(shown)}
    line = line | described.attributes | line  # a column's name may be one of the log's
    with writing(log), log.open("a", encoding="utf-8") as file:
        file.write(json.dumps(line) + "\n")
    said = ", ".join(f"{name} {value:.2f}" for name, value in line.items() if name not in ("epoch", "candidates"))
    say(f"pass {learner.epochs_done}: {said} (among {len(shown)} validation pictures)", flush=True)
    return float(line["r@1"])


def _history(log: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines()]


def _cut_log(log: Path, epochs_done: int) -> None:
    """Drop what a killed process judged after its last checkpoint."""
    lines = [json.dumps(one) + "\n" for one in _history(log) if one["epoch"] <= epochs_done]
    write_whole(log, "".join(lines))


def _keep(learner: BackboneLearner, out: Path) -> None:
    part = out / f".{CARRIED}.part"
    with writing(out), learner.averaged():
        upper = learner.learnt["upper"].state_dict()
        save_file({name: value.cpu().contiguous() for name, value in upper.items()}, part)
        part.chmod(0o644)
        part.replace(out / CARRIED)
