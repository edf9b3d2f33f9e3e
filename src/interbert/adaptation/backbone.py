"""``interbert finetune backbone``: read, learn, judge, keep."""

from __future__ import annotations

import json
import logging
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from interbert.adaptation.attribute_head import Attributes
from interbert.adaptation.learner import BackboneLearner, Catalogue
from interbert.adaptation.maps import ImageMaps, image_maps
from interbert.adaptation.options import BackboneOptions
from interbert.adaptation.projection_heads import ProjectionHeads
from interbert.adaptation.texts import CatalogueTexts
from interbert.atomic_write import atomic_write, replacing
from interbert.bounded_files import json_value, reading
from interbert.checkpoints.bert import config_for_bert
from interbert.data.pairs import PairTable
from interbert.data.subset import sample_groups
from interbert.errors import ConfigError, SourceError
from interbert.extraction.attributes import facet_columns_in
from interbert.extraction.columns import ColumnMapping
from interbert.extraction.efficientnet import EfficientNetLite0
from interbert.extraction.grid import GridExtractor, GridSettings
from interbert.extraction.joining import CatalogueColumns
from interbert.extraction.sources import ImageSource, open_source
from interbert.extraction.weights import pick_device
from interbert.extractor_weights import WEIGHTS_FILE, digest_of
from interbert.tasks.metrics import direction_metrics
from interbert.training.provenance import provenance, write_provenance
from interbert.training.run_setup import as_recipe, claim_folder, mark_finished, one_run

_logger = logging.getLogger(__name__)

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
        _remove_work(out)  # of a run that was killed right after its end
        _logger.info(f"{out}: this run is finished, nothing to do")
        return
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
    learner = BackboneLearner(backbone, _heads_of(options, train, vocabulary).to(device), train, options)
    _learn(learner, options, judged, out)
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
    texts = CatalogueTexts(options.init_from, table.texts, held.texts)
    train, judged = (
        Catalogue(of, part, texts.vectors(part.texts, device), texts.tokens(part.texts), said)
        for of, part, said in zip((maps, held_maps), (table, held), attributes, strict=True)
    )
    return train, judged, texts.vocabulary


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


@dataclass
class _Progress:
    """What a run has reached; it stands in the checkpoint, and the log and the network beside it are written from it.

    So a pass whose checkpoint was not written to its end did not happen: neither its line nor its network counts.
    """

    history: list[dict[str, Any]] = field(default_factory=list)
    """Lines of the log: the network as it was, then one a pass."""
    upper: dict[str, Tensor] | None = None
    """The best pass's network; None before the first."""

    @property
    def best(self) -> float:
        """R@1 of the best pass."""
        return max((float(one["r@1"]) for one in self.history[1:]), default=-1.0)

    def commit(self, learner: BackboneLearner, out: Path) -> None:
        """Write the checkpoint, then what users read.

        Raises:
            StorageError: the disk is full; the passes before stay.
        """
        learner.save(out / _CHECKPOINT, {"history": self.history, "upper": self.upper})
        self.publish(out)

    def publish(self, out: Path) -> None:
        """Write the log and the best network."""
        atomic_write(out / LOG, "".join(json.dumps(line) + "\n" for line in self.history))
        if self.upper is not None:
            with replacing(out / WEIGHTS_FILE) as part:
                save_file({name: value.cpu() for name, value in self.upper.items()}, part)

    @classmethod
    def resumed(cls, learner: BackboneLearner, out: Path) -> _Progress:
        """Of a run that was stopped; one of interbert 0.1.0 has its log and its network in their files alone."""
        state = learner.load(out / _CHECKPOINT)
        if "history" in state:
            found = cls(state["history"], state["upper"])
        else:
            found = cls(_logged(out / LOG, learner.epochs_done))
            if (out / WEIGHTS_FILE).is_file() and learner.epochs_done:
                found.upper = load_file(out / WEIGHTS_FILE)
            elif learner.epochs_done:  # after a full disk it kept none: this pass's is all that is left
                found = cls([*found.history[:1], *found.history[1:][-1:]], learner.upper())
        found.publish(out)
        return found


def _learn(learner: BackboneLearner, options: BackboneOptions, judged: Catalogue, out: Path) -> None:
    """All passes that are still to do; the network of the best is kept."""
    if (out / _CHECKPOINT).is_file():
        done = _Progress.resumed(learner, out)
    else:
        learner.fit_heads()
        done = _Progress([_judge(learner, judged, {})])
        done.commit(learner, out)
        _say(done.history[-1])
    while learner.epochs_done < options.epochs:
        line = _judge(learner, judged, learner.epoch())
        if line["r@1"] >= done.best:
            done.upper = learner.upper()
        done.history.append(line)
        done.commit(learner, out)
        _say(line)
    before = done.history[0]["r@1"]
    _logger.info(
        f"kept: the best of {options.epochs} passes, R@1 {done.best:.1f}; the network as it was: {before:.1f}",
    )
    if done.best <= before:
        _logger.info("the catalogue taught it nothing that shows on the validation images: extract without it")


def _judge(learner: BackboneLearner, judged: Catalogue, losses: dict[str, float]) -> dict[str, Any]:
    """The log's line: R@1 and more of the validation texts over the validation images."""
    described = learner.described(judged)
    shown, groups = judged.table.gallery()
    relevant = judged.table.relevant_to_groups(np.arange(len(judged.table)), groups)
    recall = direction_metrics(described.texts @ described.images[shown].T, relevant).recall
    found = {name: float(one.value) for name, one in recall.items()}
    line = {"epoch": learner.epochs_done, **losses, **found, "candidates": len(shown)}
    return line | described.attributes | line  # a column's name may be one of the log's


def _say(line: Mapping[str, Any]) -> None:
    said = ", ".join(f"{name} {value:.2f}" for name, value in line.items() if name not in ("epoch", "candidates"))
    _logger.info(f"pass {line['epoch']}: {said} (among {line['candidates']} validation images)")


def _logged(log: Path, epochs_done: int) -> list[dict[str, Any]]:
    """Lines of a log up to a pass, each once; one that was not written to its end is of a later pass."""
    with reading(log, "Remove the damaged line."):
        lines = log.read_text(encoding="utf-8").splitlines(keepends=True)
        found = [json_value(line) for line in lines if line.endswith("\n")]
        return list({int(one["epoch"]): one for one in found if one["epoch"] <= epochs_done}.values())


def _remove_work(out: Path) -> None:
    """Remove what only an unfinished run needs."""
    shutil.rmtree(out / _MAPS, ignore_errors=True)
    (out / _CHECKPOINT).unlink(missing_ok=True)
