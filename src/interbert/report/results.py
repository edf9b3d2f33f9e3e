"""The figures of a run: what was reached, how far each objective got from its chance value, and at what pace."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from interbert.report.charts import METRICS, OBJECTIVES, Entry, last_value
from interbert.report.runs import Run
from interbert.report.svg import smooth
from interbert.tasks.classification import ClassificationTask
from interbert.tasks.masked_text import MaskedTextTask
from interbert.tasks.pretraining import PretrainingTask
from interbert.tasks.retrieval import RetrievalTask
from interbert.utils.templating import format_number
from interbert.utils.terminal import in_words

_LEARNT = 0.98
"""An objective whose loss is above this share of its chance value has learnt nothing to speak of."""
_LEAST_STEPS = {
    "pretraining": PretrainingTask.least_steps,
    "pretraining on texts": MaskedTextTask.least_steps,
    "retrieval": RetrievalTask.least_steps,
    "classification": ClassificationTask.least_steps,
}
_REMEDIES = {
    "lm_loss": "train longer (--training.min-steps); check that the texts are of a language that the BERT knows",
    "region_loss": "train longer (--training.min-steps): it is the last to be learnt",
    "matching_loss": "check that texts belong to their images; begin with random negatives for longer "
    "(--negatives.random-epochs), train longer (--training.min-steps)",
    "contrastive_loss": "check that texts belong to their images and differ from each other; lower the learning rate "
    "(--training.learning-rate) if the curve jumps",
}
_REMEDY = (
    "check that the labels follow from what is read; train longer (--training.min-steps) or at another learning rate"
)


@dataclass(frozen=True)
class Final:
    """Where an objective's loss stands.

    Attributes:
        title: of the objective.
        value: moving average at the end of the log.
        chance: of a model that knows nothing; None when it is not known.
    """

    title: str
    value: float
    chance: float | None

    @property
    def at_chance(self) -> bool:
        """Whether nothing was learnt yet."""
        return self.chance is not None and self.value > _LEARNT * self.chance


def finals(log: Sequence[Entry]) -> dict[str, Final]:
    """Every objective of a log by its name there; the whole loss when it has no parts."""
    names = [name for name in OBJECTIVES if any(name in one for one in log)] or ["loss"]
    found = {}
    for name in names:
        points = tuple((one.get("step", 0.0), one[name]) for one in log if name in one)
        if points:
            title = OBJECTIVES.get(name, "Loss")
            found[name] = Final(title, smooth(points)[-1][1], last_value(log, f"{name}_chance"))
    return found


def advice(run: Run) -> list[str]:
    """What to do about each objective that is not below chance, a line each; none where all are."""
    return [f"{one.title}: {_remedy(run, name)}." for name, one in finals(run.log).items() if one.at_chance]


def _remedy(run: Run, objective: str) -> str:
    least = _LEAST_STEPS.get(run.kind, 0)
    if run.step < least and not run.finished:
        return f"too few steps ({run.step:,}) to tell, so wait"
    if run.step < least:
        return (
            f"too few steps ({run.step:,}) to learn it, so train in another folder with "
            f"--training.min-steps {2 * least} or more"
        )
    return _REMEDIES.get(objective, _REMEDY)


def state(run: Run) -> str:
    """How far the run is."""
    epoch, epochs = last_value(run.log, "epoch"), run.recipe.get("training", {}).get("epochs")
    passes = "" if epoch is None else f", epoch {epoch:.3g}"
    if passes and isinstance(epochs, int | float):
        passes += f" of {epochs:g}"
    if run.finished:
        return f"finished at step {run.step:,}{passes}"
    resumes = "" if run.resumes_at is None else f"; would go on from step {run.resumes_at:,}"
    return f"not finished: step {run.step:,}{passes}, last line {run.logged}{resumes}"


def cards(run: Run) -> list[tuple[str, str]]:
    """One run's figures: (figure, what it is)."""
    found = []
    value = run.reached(f"eval_{run.metric}")
    if value is not None and run.metric is not None:
        candidates = run.reached("eval_candidates")
        among = "" if candidates is None else f" among {candidates:,.0f} images"
        found.append((f"{value:.1f}%", f"{METRICS[run.metric]}{among}, model kept at step {run.kept_step:,.0f}"))
    found.append((f"{run.step:,}", "steps so far" if not run.finished else "steps"))
    if run.seconds is not None:
        found.append((in_words(run.seconds), "so far" if not run.finished else "validations included"))
    if run.pairs_per_second is not None:
        unit = {"classification": "items", "pretraining on texts": "texts"}.get(run.kind, "pairs")
        found.append((format_number(run.pairs_per_second), f"{unit} per second"))
    return found


@dataclass(frozen=True)
class Cell:
    """One run's figure in a column.

    Attributes:
        text: the figure; "" when the run has none.
        best: whether it is the best of several.
        chance: of an objective, what a model that knows nothing has.
        at_chance: whether it is no better than that.
    """

    text: str
    best: bool = False
    chance: float | None = None
    at_chance: bool = False


Column = tuple[str, list[Cell]]
"""A title, and a cell for each run."""


def result_columns(runs: Sequence[Run]) -> list[Column]:
    """Several runs' figures, the best of each column set off."""
    metrics = [name for name in METRICS if any(run.metric == name for run in runs)]
    titles = {name: one.title for run in runs for name, one in finals(run.log).items()}
    galleries = [run.reached("eval_candidates") for run in runs]
    return [
        *(_metric_column(runs, name) for name in metrics),
        *([_column("among images", galleries, lambda value: f"{value:,.0f}")] if any(galleries) else []),
        _column("kept at step", [run.kept_step for run in runs], lambda value: f"{value:,.0f}"),
        *(_loss_column(runs, name, title) for name, title in titles.items()),
        _column("pairs/s", [run.pairs_per_second for run in runs], format_number),
        _column("time", [run.seconds for run in runs], in_words),
    ]


def _metric_column(runs: Sequence[Run], name: str) -> Column:
    return _column(METRICS[name], [run.reached(f"eval_{name}") for run in runs], lambda value: f"{value:.1f}%", max)


def _loss_column(runs: Sequence[Run], name: str, title: str) -> Column:
    found = [finals(run.log).get(name) for run in runs]
    comparable = len({one.chance for one in found if one is not None}) == 1
    values = [None if one is None else one.value for one in found]
    title, cells = _column(f"{title}, loss", values, format_number, min if comparable else None)
    return title, [
        cell if one is None else replace(cell, chance=one.chance, at_chance=one.at_chance)
        for cell, one in zip(cells, found, strict=True)
    ]


def _column(
    title: str,
    values: Sequence[float | None],
    shown: Callable[[float], str],
    best: Callable[[list[float]], float] | None = None,
) -> Column:
    known = [value for value in values if value is not None]
    top = best(known) if best is not None and len(known) > 1 else None
    return title, [Cell("") if value is None else Cell(shown(value), value == top) for value in values]
