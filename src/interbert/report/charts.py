"""Which curves a log holds: validation, each objective against its chance value, rate, gradients and speed."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from interbert.errors import DataError
from interbert.utils.bounded_files import json_value, read_small_text

Entry = Mapping[str, float]


def read_log(path: str | Path) -> list[Entry]:
    """Entries of a ``log_history.jsonl`` whose values are finite numbers; [] when there is no such file.

    A last line without its end is left out: the trainer is writing it, or was killed while it did.

    Raises:
        DataError: another line is no JSON object; it is named.
    """
    file = Path(path)
    if not file.is_file():
        return []
    try:
        lines = read_small_text(file).split("\n")
    except UnicodeDecodeError as error:
        raise DataError(f"{file}: is no text in UTF-8. Restore it, or repeat the run in another folder.") from error
    except ValueError as error:
        raise DataError(f"{file}: {error}. Is it the log of a training run?") from error
    entries = []
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            entries.append(_numbers(json_object(line)))
        except ValueError as error:
            if number == len(lines):
                break
            raise DataError(f"{file}, line {number}: is no log entry ({error}). Remove the line.") from error
    return entries


def json_object(text: str) -> dict[str, Any]:
    """A JSON object.

    Raises:
        ValueError: the text is something else, or beyond a limit of :mod:`interbert.utils.bounded_files`.
    """
    found = json_value(text)
    if not isinstance(found, dict):
        raise ValueError(f"a {type(found).__name__}, not an object")
    return found


def _numbers(record: Mapping[str, Any]) -> Entry:
    return {
        key: float(value)
        for key, value in record.items()
        if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    }


def last_value(entries: Sequence[Entry], name: str) -> float | None:
    """The last entry's that has one."""
    return next((one[name] for one in reversed(entries) if name in one), None)


Axis = Literal["step", "epoch", "minutes"]
Points = tuple[tuple[float, float], ...]

OBJECTIVES = {
    "lm_loss": "Masked words",
    "region_loss": "Masked regions",
    "matching_loss": "Text/image matching",
    "contrastive_loss": "Contrast in the batch",
}
"""Losses by name in the log, where each has its chance value beside it."""
METRICS = {
    "r@1": "Right image first (R@1)",
    "dual_r@1": "R@1 of the dual encoder",
    "joint_r@1": "R@1 of the joint model alone",
    "accuracy": "Accuracy",
    "macro_f1": "Macro F1",
}
"""Validation metrics in per cent; the first one that a log has is what its best model was chosen by."""
PROGRESS = {
    "learning_rate": "Learning rate",
    "grad_norm": "Gradient norm before clipping",
    "pairs_per_second": "Pairs per second",
}
_WHOLE = "loss"


@dataclass(frozen=True)
class Curve:
    """One run's values of a quantity.

    Attributes:
        points: (x, value), in order.
        chance: the value without learning; None when there is no such value.
        kept: the point of the model that was kept.
        name: of the run; "" when there is one run only.
        slot: the run's colour, by number.
    """

    points: Points
    chance: float | None = None
    kept: tuple[float, float] | None = None
    name: str = ""
    slot: int = 0


@dataclass(frozen=True)
class Chart:
    """One quantity over training, of one run or several.

    Attributes:
        title: what is shown.
        curves: one per run that has it.
        percent: values are per cent.
        smooth: draw a moving average over what was logged.
        axis: what x is.
    """

    title: str
    curves: tuple[Curve, ...]
    percent: bool = False
    smooth: bool = False
    axis: Axis = "step"


@dataclass(frozen=True)
class LoggedRun:
    """A log with its run's name and the step of the model that was kept."""

    entries: Sequence[Entry]
    name: str = ""
    kept_step: float | None = None


def objective_charts(runs: Sequence[LoggedRun], axis: Axis = "step") -> list[Chart]:
    """One chart per objective, each with its chance value; the whole loss of runs whose loss has no parts."""
    return _charts(runs, axis, OBJECTIVES | {_WHOLE: "Loss"}, smooth=True)


def validation_charts(runs: Sequence[LoggedRun], axis: Axis = "step") -> list[Chart]:
    """One chart per validation metric, what the best model is chosen by first."""
    return _charts(runs, axis, {f"eval_{name}": title for name, title in METRICS.items()}, percent=True)


def progress_charts(runs: Sequence[LoggedRun], axis: Axis = "step") -> list[Chart]:
    """Learning rate, gradient norm and speed."""
    return _charts(runs, axis, PROGRESS)


def primary_metric(entries: Sequence[Entry]) -> str | None:
    """Name of the metric that a run's best model is chosen by; None before the first validation."""
    return next((name for name in METRICS if any(f"eval_{name}" in one for one in entries)), None)


def place(entry: Entry, axis: Axis) -> float | None:
    """Where an entry lies on an axis; None when it does not say."""
    if axis == "minutes":
        return entry["seconds"] / 60 if "seconds" in entry else None
    return entry.get(axis)


def _charts(
    runs: Sequence[LoggedRun], axis: Axis, names: Mapping[str, str], percent: bool = False, smooth: bool = False
) -> list[Chart]:
    charts = (Chart(title, tuple(_curves(runs, axis, name)), percent, smooth, axis) for name, title in names.items())
    return [chart for chart in charts if chart.curves]


def _curves(runs: Sequence[LoggedRun], axis: Axis, name: str) -> Iterator[Curve]:
    for slot, run in enumerate(runs):
        if name == _WHOLE and any(part in one for one in run.entries for part in OBJECTIVES):
            continue
        placed = [(place(one, axis), one[name], one.get("step")) for one in run.entries if name in one]
        points = tuple(sorted((x, value) for x, value, _ in placed if x is not None))
        if not points:
            continue
        kept = [(x, value) for x, value, step in placed if x is not None and step is not None and step == run.kept_step]
        yield Curve(
            points,
            chance=last_value(run.entries, f"{name}_chance"),
            kept=kept[-1] if kept and name.startswith("eval_") else None,
            name=run.name,
            slot=slot,
        )
