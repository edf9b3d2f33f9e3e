"""The page of ``interbert report``: what matters first, everything on one page that asks for nothing from outside."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from interbert.checkpoints.bert import FillReport
from interbert.errors import DataError
from interbert.report.charts import Axis, objective_charts, progress_charts, validation_charts
from interbert.report.comparison import rows_of
from interbert.report.pair_cards import PairCards
from interbert.report.results import cards, finals, result_columns, state
from interbert.report.runs import Run
from interbert.report.samples import Samples
from interbert.report.svg import Drawing, drawings
from interbert.templating import render
from interbert.training.pretrain import INITIALISATION
from interbert.training.run_setup import flat

_OWN = frozenset({"out"})
"""Settings that differ in any two runs and say nothing."""


@dataclass(frozen=True)
class Report:
    """What the page is made from.

    Attributes:
        runs: one or several.
        samples: predictions of each run.
        images: data URI of each image key; those missing are drawn as empty frames, or as their texts.
        axis: what the curves run over.
        not_shown: of each image that the source does not have, why.
    """

    runs: Sequence[Run]
    samples: Sequence[Samples]
    images: Mapping[str, str] = field(default_factory=dict)
    axis: Axis = "step"
    not_shown: Sequence[str] = ()


def render_report(report: Report) -> str:
    """The page as HTML. All texts are escaped; images are inlined once each.

    Raises:
        DataError: the initialisation report of a run is damaged.
    """
    runs, names = report.runs, [run.name for run in report.runs]
    settings = rows_of([flat(run.recipe) for run in runs])
    origins = [flat({name: value for name, value in run.origin.items() if name != "recipe"}) for run in runs]
    return render(
        "report.html",
        report.images,
        title=f"{len(runs)} runs side by side" if len(runs) > 1 else names[0],
        several=len(runs) > 1,
        runs=runs,
        names=names,
        states=[state(run) for run in runs],
        facts=cards(runs[0]),
        objectives=finals(runs[0].log).values(),
        columns=result_columns(runs),
        settings=settings,
        differing=[row for row in settings if row.differs and row.name not in _OWN],
        charts=_charts(runs, report.axis),
        samples=[(run.name, _sample(one)) for run, one in zip(runs, report.samples, strict=True)],
        records=rows_of(origins),
        starts=[(run.name, *_start(run)) for run in runs],
    )


def _charts(runs: Sequence[Run], axis: Axis) -> list[tuple[str, list[Drawing]]]:
    logs = [run.logged_run for run in runs]
    if len(runs) == 1:
        logs = [replace(logs[0], name="")]
    return [
        ("Validation", drawings(validation_charts(logs, axis))),
        ("Objectives, on training batches", drawings(objective_charts(logs, axis))),
        ("Training", drawings(progress_charts(logs, axis))),
    ]


def _sample(samples: Samples) -> dict[str, Any]:
    """What the template shows of a run's predictions."""
    return {
        "note": samples.note,
        "origin": samples.origin,
        "pairs": PairCards.of(samples.predictions, samples.keys) if samples.predictions else None,
        "rankings": samples.rankings,
        "titles": {key: " / ".join(caption.texts) for key, caption in samples.captions.items()},
    }


def _start(run: Run) -> tuple[str, FillReport | None]:
    """What a run started from, and how its first weights came about where that is known."""
    if not run.initialisation:
        return run.recipe.get("model") or run.recipe.get("init_from") or "not known", None
    try:
        return "", FillReport.from_dict(run.initialisation)
    except (KeyError, TypeError, ValueError) as error:
        file = run.folder / INITIALISATION
        raise DataError(f"{file}: is damaged (no {error}). Remove it to see the page without it.") from error
