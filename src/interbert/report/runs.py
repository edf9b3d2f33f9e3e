"""What a training run left in its folder, finished or not."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

import numpy as np

from interbert.data.pairs import PairTable
from interbert.data.qrels import QrelsTexts
from interbert.errors import DataError, UsageError
from interbert.regions.schema import CaptionRow, ExtractorInfo
from interbert.regions.store import RegionStore, is_store
from interbert.report.charts import Entry, LoggedRun, json_object, last_value, primary_metric, read_log
from interbert.training.model_card import PROVENANCE
from interbert.training.pretrain import INITIALISATION
from interbert.training.run_setup import FINISHED, RECIPE, held_out_share
from interbert.training.trainer import LOG_HISTORY, last_checkpoint
from interbert.utils.bounded_files import read_small_text

Kind = Literal["pretraining", "pretraining on texts", "retrieval", "classification"]
_TRAIN = "Name the OUT of interbert pretrain or interbert finetune."


@dataclass(frozen=True)
class Run:
    """One run.

    Attributes:
        folder: model directory.
        name: short, different from the other runs'.
        recipe: its options, all of them.
        log: entries of ``log_history.jsonl``.
        logged: when the last one was written, UTC.
        origin: ``provenance.json`` of the model kept so far; empty when none is.
        initialisation: ``initialisation.json``; empty when there is none.
        finished: whether it reached its end.
        resumes_at: step of the checkpoint that it would go on from; None when there is none.
    """

    folder: Path
    name: str
    recipe: Mapping[str, Any]
    log: Sequence[Entry]
    logged: str
    origin: Mapping[str, Any]
    initialisation: Mapping[str, Any]
    finished: bool
    resumes_at: int | None

    @property
    def kind(self) -> Kind:
        """What was trained."""
        if "masking" in self.recipe:
            return "pretraining" if "regions" in self.recipe else "pretraining on texts"
        return "classification" if {"label", "task"} & self.recipe.keys() else "retrieval"

    @property
    def metric(self) -> str | None:
        """Name of what the best model is chosen by; None before the first validation."""
        return primary_metric(self.log)

    @property
    def kept_step(self) -> float | None:
        """Step of the model in the folder; None when there is none."""
        return self.reached("step")

    def reached(self, name: str) -> float | None:
        """An entry of that model's last validation, such as ``eval_r@1``; None when there is none."""
        value = self.origin.get("reached", {}).get(name)
        return float(value) if isinstance(value, int | float) else None

    @property
    def step(self) -> int:
        """The last one that the log has."""
        return int(last_value(self.log, "step") or 0)

    @property
    def seconds(self) -> float | None:
        """How long it took; None in logs of older versions that were not finished."""
        found = last_value(self.log, "seconds")
        return last_value(self.log, "train_runtime") if found is None else found

    @property
    def pairs_per_second(self) -> float | None:
        """Median rate of training; of a finished run of an older version its mean, validation included."""
        rates = sorted(one["pairs_per_second"] for one in self.log if "pairs_per_second" in one)
        return rates[len(rates) // 2] if rates else last_value(self.log, "train_samples_per_second")

    @property
    def logged_run(self) -> LoggedRun:
        """What charts are drawn from."""
        return LoggedRun(self.log, self.name, self.kept_step)


def read_runs(folders: Sequence[str | Path]) -> list[Run]:
    """Runs by their folders, each with a name of its own.

    Raises:
        UsageError: a folder is missing, is named twice, or holds no run.
        DataError: a file in it is damaged, or nothing is logged yet.
    """
    paths = [Path(folder) for folder in folders]
    seen: dict[Path, Path] = {}
    for path in paths:
        if path.resolve() in seen:
            raise UsageError(f"{path}: is named twice. Name every run once.")
        seen[path.resolve()] = path
    runs = [read_run(path) for path in paths]
    return [replace(run, name=name) for run, name in zip(runs, _names(list(seen)), strict=True)]


def read_run(folder: Path) -> Run:
    """One run.

    Raises:
        UsageError: the folder is missing or holds no run.
        DataError: a file in it is damaged, or nothing is logged yet.
    """
    if not folder.is_dir():
        raise UsageError(f"{folder}: {'is a file' if folder.exists() else 'there is no such folder'}. {_TRAIN}")
    if not (folder / RECIPE).is_file():
        raise UsageError(f"{folder}: holds no training run (no {RECIPE}). {_TRAIN}")
    recipe = _read_json(folder / RECIPE, "Restore it, or repeat the run in another folder.", ("masking", "training"))
    log_file = folder / LOG_HISTORY
    log = read_log(log_file)
    if not log:
        said = "holds no whole line yet" if log_file.exists() else "is not there"
        raise DataError(f"{log_file}: {said}. Wait until the run has logged something, or repeat it.")
    remedy = "Remove it to see the page without it."
    checkpoint = last_checkpoint(folder)
    return Run(
        folder=folder,
        name=folder.resolve().name,
        recipe=recipe,
        log=log,
        logged=datetime.fromtimestamp(log_file.stat().st_mtime, UTC).strftime("%Y-%m-%d %H:%M UTC"),
        origin=_read_json(folder / PROVENANCE, remedy, ("data", "reached")),
        initialisation=_read_json(folder / INITIALISATION, remedy),
        finished=(folder / FINISHED).exists(),
        resumes_at=None if checkpoint is None else int(checkpoint.name.rpartition("-")[2]),
    )


def _read_json(file: Path, remedy: str, sections: Sequence[str] = ()) -> Mapping[str, Any]:
    """A file's object, whose ``sections`` are objects too where they are there; empty when there is no file."""
    if not file.is_file():
        return {}
    try:
        found = json_object(read_small_text(file))
        for name in sections:
            if not isinstance(found.get(name, {}), dict):
                raise ValueError(f"{name} is no object")
    except ValueError as error:
        raise DataError(f"{file}: is damaged ({error}). {remedy}") from error
    return found


def _names(folders: Sequence[Path]) -> list[str]:
    """The last parts of each path, as many as it takes to tell them apart."""
    for count in range(1, max(len(folder.parts) for folder in folders) + 1):
        names = ["/".join(folder.parts[-count:]) for folder in folders]
        if len(set(names)) == len(names):
            break
    return names


@dataclass(frozen=True)
class HeldOut:
    """Pairs with their regions.

    Attributes:
        store: the regions.
        captions: every row of the store.
        table: pairs that were not trained on.
        origin: where they come from, in words.
    """

    store: RegionStore
    captions: Sequence[CaptionRow]
    table: PairTable
    origin: str

    def image_key(self, row: int) -> str:
        """Names an image across stores: equal files are one image."""
        return self.captions[row].digest or f"{self.store.path}, row {row}"


def held_out_pairs(run: Run, extractor: ExtractorInfo, regions: str | None = None) -> HeldOut:
    """The run's validation pairs, or those of another store.

    Args:
        run: with a model that was kept.
        extractor: of the model.
        regions: store to take the pairs from; None takes the run's validation store, or the share of its training
            store that it held out.

    Raises:
        StoreError: the store is missing, or another extractor made it.
        UsageError: which of its pairs were trained on is not known.
        SourceError: it has no texts in the run's columns.
    """
    recipe = run.recipe
    name = regions or recipe.get("validation") or recipe["regions"]
    store = RegionStore.open(name)
    store.require(extractor)
    captions = list(store.captions())
    table = PairTable.from_captions(captions, text_columns_of(recipe), name)
    known = run.origin.get("data", {})
    if store.fingerprint == known.get("regions"):
        if recipe.get("validation") is not None:
            raise UsageError(f"{name}: is what {run.name} was trained on. Give pairs that it does not know.")
        seed = recipe["training"]["seed"]
        judged = recipe.get("qrels") is not None
        if judged:  # the share was drawn from the pairs that the judgements make
            table = _judged_pairs(run, captions, name)
        share = held_out_share(recipe["validation_share"], len(np.unique(table.rows)))
        held = table.split(share, seed, repeat_texts=judged)[1]
        return HeldOut(store, captions, held, f"the {share:.0%} that it held out")
    if recipe.get("validation") is not None and store.fingerprint == known.get("validation"):
        return HeldOut(store, captions, table, "its validation store")
    if regions is None and recipe.get("validation") is None:
        raise UsageError(
            f"{name}: has changed since the run began, so which of its pairs were trained on is not known."
        )
    if not is_store(recipe["regions"]):
        return HeldOut(store, captions, table, f"{name}, which could not be compared with the training store")
    trained = {one.digest for one in RegionStore.open(recipe["regions"]).captions()} - {""}
    unknown, others = (
        np.array([captions[row].digest not in trained for row in rows], dtype=np.bool_)
        for rows in (table.rows, table.unpaired[:, 0])
    )
    if not unknown.any():
        raise UsageError(f"{name}: {run.name} was trained on all of its images. Give pairs that it does not know.")
    return HeldOut(store, captions, table.select(unknown, others), f"{name}, without images of the training store")


def _judged_pairs(run: Run, captions: Sequence[CaptionRow], name: str) -> PairTable:
    recipe = run.recipe
    judged = QrelsTexts.read(recipe["qrels"], recipe["qrels_columns"], recipe["min_grade"], recipe.get("query_texts"))
    if judged.qrels.fingerprint != run.origin["data"].get("qrels"):
        raise UsageError(
            f"{recipe['qrels']}: has changed since the run began, so which pairs were trained on is not known. Give "
            "pairs that it does not know."
        )
    return PairTable.from_captions(captions, text_columns_of(recipe), name, judged)


def text_columns_of(recipe: Mapping[str, Any]) -> list[str]:
    """Columns of texts that a run was trained on; ``texts`` in the recipes of earlier versions."""
    return list(recipe.get("text_columns") or recipe.get("texts") or [])
