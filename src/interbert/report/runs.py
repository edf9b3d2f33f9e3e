"""What a training run left in its folder, finished or not."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from interbert.bounded_files import read_small_text
from interbert.errors import DataError, UsageError
from interbert.report.charts import LoggedRun, primary_metric
from interbert.report.log import Entry, json_object, last_value, read_log
from interbert.training.pretrain import INITIALISATION
from interbert.training.provenance import PROVENANCE
from interbert.training.run_setup import FINISHED, RECIPE
from interbert.training.trainer import LOG_HISTORY, last_checkpoint

Kind = Literal["pretraining", "retrieval", "classification"]
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
            return "pretraining"
        return "classification" if "label" in self.recipe else "retrieval"

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
