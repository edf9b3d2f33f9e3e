"""The page of ``interbert report``: what matters first, everything on one page that asks for nothing from outside."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from interbert.checkpoints.bert import FillReport
from interbert.errors import DataError
from interbert.redaction import published
from interbert.report.charts import Axis, objective_charts, progress_charts, validation_charts
from interbert.report.comparison import comparison_table, rows_of
from interbert.report.pair_cards import pair_cards
from interbert.report.parts import chart_grid, chart_legend, fact_cards, query_card, shared_style
from interbert.report.results import cards, objective_table, results_table, state
from interbert.report.runs import Run
from interbert.report.samples import Samples
from interbert.search.page import document, escape, image_classes, stylesheet
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
    rules, images = image_classes(report.images)
    runs, names = report.runs, [run.name for run in report.runs]
    several = len(runs) > 1
    sections = [
        ("results", "Results", _results(runs)),
        ("differences", "Settings that differ", _differences(runs) if several else ""),
        ("curves", "Curves", _curves(runs, report.axis)),
        ("guesses", "On pairs it was not trained on", _samples(report, images)),
        ("settings", "Settings", comparison_table(names, rows_of([flat(run.recipe) for run in runs]))),
        ("origin", "Where it comes from", _origin(runs)),
    ]
    shown = [(name, title, text) for name, title, text in sections if text]
    links = "".join(f'<a href="#{name}">{title}</a>' for name, title, _ in shown)
    title = f"{len(runs)} runs side by side" if several else names[0]
    lead = "" if several else f'<p class="lead">{runs[0].kind.capitalize()}, {escape(state(runs[0]))}.</p>'
    body = "\n".join(f'<h2 id="{name}">{title}</h2>\n{text}' for name, title, text in shown)
    head = f'<p class="eyebrow">InterBERT training report</p>\n<h1>{escape(title)}</h1>\n{lead}'
    style = shared_style() + stylesheet("interbert.report", "report.css") + rules
    return document(f"InterBERT: {title}", style, f'{head}\n<nav class="toc">{links}</nav>\n{body}')


def _results(runs: Sequence[Run]) -> str:
    if len(runs) > 1:
        return results_table(runs)
    return fact_cards(cards(runs[0])) + objective_table(runs[0])


def _differences(runs: Sequence[Run]) -> str:
    rows = rows_of([flat(run.recipe) for run in runs])
    different = [row for row in rows if row.differs and row.name not in _OWN]
    table = comparison_table([run.name for run in runs], different, mark=False)
    return table or '<p class="soft">None: these runs have the same settings.</p>'


def _curves(runs: Sequence[Run], axis: Axis) -> str:
    logs = [run.logged_run for run in runs]
    if len(runs) == 1:
        logs = [replace(logs[0], name="")]
    grids = [
        chart_grid("Validation", validation_charts(logs, axis)),
        chart_grid("Objectives, on training batches", objective_charts(logs, axis)),
        chart_grid("Training", progress_charts(logs, axis)),
    ]
    return chart_legend([run.name for run in runs] if len(runs) > 1 else ()) + "".join(grids)


def _samples(report: Report, images: Mapping[str, str]) -> str:
    parts = []
    for run, samples in zip(report.runs, report.samples, strict=True):
        text = _run_samples(samples, images)
        if text and len(report.runs) > 1:
            text = f"<details><summary><b>{escape(run.name)}</b></summary>{text}</details>"
        parts.append(text)
    return "".join(parts)


def _run_samples(samples: Samples, images: Mapping[str, str]) -> str:
    if samples.note:
        return f'<p class="note">No predictions. {escape(published(samples.note))}</p>'
    origin = f'<p class="soft">Pairs of {escape(published(samples.origin))}.</p>'
    if samples.predictions:
        return origin + pair_cards(samples.predictions, samples.keys, images)
    if samples.rankings is None:
        return ""
    found = samples.rankings
    titles = {key: " / ".join(caption.texts) for key, caption in samples.captions.items()}
    listed = "\n".join(query_card(query, images, titles) for query in found.queries)
    how = (
        f"all {found.candidates:,} images by the joint model"
        if found.reranked == found.candidates
        else f"{found.candidates:,} images by the dual encoder, its best {found.reranked} by the joint model"
    )
    return (
        f'{origin}<p class="soft">Ranked: {how}. Texts are chosen by their hash. Under each image: the match '
        f'probability; a tick marks a right one.</p><div class="queries">\n{listed}\n</div>'
    )


def _origin(runs: Sequence[Run]) -> str:
    names = [run.name for run in runs]
    records = [flat({name: value for name, value in run.origin.items() if name != "recipe"}) for run in runs]
    table = comparison_table(names, rows_of(records))
    if not table:
        table = '<p class="soft">provenance.json is written with the first model that is kept.</p>'
    started = "".join(_initialisation(run, len(runs) > 1) for run in runs)
    return f"{table}<h3>What it started from</h3>{started}"


def _initialisation(run: Run, named: bool) -> str:
    name = f"<b>{escape(run.name)}</b>: " if named else ""
    if not run.initialisation:
        start = run.recipe.get("model") or run.recipe.get("init_from") or "not known"
        return f"<p>{name}{escape(published(start))}</p>"
    try:
        report = FillReport.from_dict(run.initialisation)
    except (KeyError, TypeError, ValueError) as error:
        file = run.folder / INITIALISATION
        raise DataError(f"{file}: is damaged (no {error}). Remove it to see the page without it.") from error
    lists = _names(report.filled, "filled") + _names(report.random, "started random")
    return (
        f"<p>{name}{escape(published(str(report)))}. Rows of the vocabulary filled: {report.vocab_size:,}.</p>{lists}"
    )


def _names(parameters: Sequence[str], what: str) -> str:
    listed = escape("\n".join(parameters))
    return f"<details><summary>{len(parameters)} parameters {what}</summary><pre>{listed}</pre></details>"
