"""The stages of a cascade as a table and as a plot."""

from __future__ import annotations

from pathlib import Path

from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table

from interbert.errors import writing
from interbert.report.svg import number
from interbert.report.tradeoff import Panel, Point, tradeoff_svg
from interbert.tasks.cascade import CascadeReport, Stage
from interbert.tasks.graded import GradedMetrics

_RECALL = ("r@1", "r@5", "r@10")
_GRADED = ("mrr", "ndcg@5", "ndcg@10")
_NAMES = {"recall": "recall only", "head": "recall by the matching head", "joint": "joint, all pictures"}


def stage_name(stage: Stage, short: bool = False) -> str:
    """What a stage is called; ``short`` for the plot."""
    if stage.kind == "cascade":
        return f"K={stage.candidates}" if short else f"cascade, K={stage.candidates}"
    return ("recall" if stage.kind == "recall" else stage.kind) if short else _NAMES[stage.kind]


def print_cascade(report: CascadeReport, title: str, graded: bool) -> None:
    """Every stage with its metrics and times.

    Args:
        report: what was measured.
        title: of the table.
        graded: show MRR and nDCG too.
    """
    metrics = _RECALL + (_GRADED if graded else ())
    caption = (
        "R@k in per cent, [95% bootstrap interval]; ms per query, one at a time (median, p95) and all at once;\n"
        "faster: than the joint ranking, one at a time and all at once; shuffled: has to be near chance"
    )
    table = Table(title=title, caption=caption, title_justify="left", caption_justify="left", box=SIMPLE)
    table.add_column("", no_wrap=True)
    for name in metrics:
        table.add_column(name.upper().replace("NDCG", "nDCG"), justify="right")
    for name in ("ms alone", "p95", "ms batched", "faster"):
        table.add_column(name, justify="right")
    joint = report.stages[-1] if report.stages[-1].kind == "joint" else None
    for stage in report.stages:
        table.add_row(stage_name(stage), *_cells(stage.metrics, metrics), *_times(stage, joint))
    table.add_row("  shuffled", *_cells(report.shuffled, metrics))
    table.add_row("  chance", *(_value(name, report.shuffled.chance[name]) for name in metrics))
    Console(width=None).print(table)
    print(
        f"{report.pictures} pictures were encoded beforehand, in {report.catalogue_seconds:.1f} s; "
        f"{report.threads} {'thread' if report.threads == 1 else 'threads'}"
    )


def _value(name: str, value: float) -> str:
    return f"{value:.2f}" if name in _RECALL and value < 1 else f"{value:.1f}" if name in _RECALL else f"{value:.3f}"


def _cells(metrics: GradedMetrics, names: tuple[str, ...]) -> list[str]:
    found = [(name, metrics.values[name]) for name in names]
    return [f"{_value(name, one.value)} [{_value(name, one.low)}, {_value(name, one.high)}]" for name, one in found]


def _times(stage: Stage, joint: Stage | None) -> list[str]:
    timing = stage.timing
    if timing is None:
        return []
    alone = [] if timing.alone_median is None or timing.alone_p95 is None else [timing.alone_median, timing.alone_p95]
    cells = [number(one) for one in alone] or ["", ""]
    factors = []
    if joint is not None and joint.timing is not None and stage is not joint:
        if timing.alone_median is not None and joint.timing.alone_median is not None:
            factors.append(joint.timing.alone_median / timing.alone_median)
        factors.append(joint.timing.batched / timing.batched)
    return [*cells, number(timing.batched), ", ".join(f"{one:.0f}x" for one in factors)]


def write_plot(report: CascadeReport, title: str, path: str) -> None:
    """Recall against time per query; stages without a time are left out.

    Raises:
        StorageError: the file cannot be written.
    """
    timed = [(stage, stage.timing) for stage in report.stages if stage.timing is not None]

    def points(one_by_one: bool) -> tuple[Point, ...]:
        found = []
        for stage, timing in timed:
            milliseconds = timing.alone_median if one_by_one else timing.batched
            values = tuple(stage.metrics.values[name].value for name in _RECALL)
            if milliseconds is not None:
                found.append(Point(stage_name(stage, short=True), milliseconds, values))
        return tuple(found)

    panels = [
        Panel("ms per query, one at a time (median)", points(True)),
        Panel("ms per query, all at once", points(False)),
    ]
    svg = tradeoff_svg(title, [name.upper() for name in _RECALL], [panel for panel in panels if panel.points])
    with writing(path):
        Path(path).write_text(svg, encoding="utf-8")
    print(f"plot: {path}")
