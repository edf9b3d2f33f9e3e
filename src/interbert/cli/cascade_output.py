"""The stages of a cascade as a table and as a plot."""

from __future__ import annotations

from collections.abc import Mapping

from rich.box import SIMPLE

from interbert.cli.tables import TextTable, print_table
from interbert.report.tradeoff import Panel, Point, tradeoff_svg
from interbert.tasks.cascade import CascadeReport, Stage, Timing
from interbert.tasks.metrics import Estimate
from interbert.utils.files import DRAWING, write_output
from interbert.utils.templating import format_number
from interbert.utils.terminal import say

_RECALL = ("r@1", "r@5", "r@10")
_GRADED = ("mrr", "ndcg@5", "ndcg@10")
_WIDTH = 96
"""Characters of the widest table: a narrower terminal wraps it, which is better than cut numbers."""
_NAMES = {"recall": "recall only", "head": "recall by the head", "joint": "joint ranking"}


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
    caption = (
        "per cent, [95% bootstrap interval]; among: products that a query ranks; controls, near chance: "
        f"shuffled products, every image the mean one ({report.mean_image.n} texts)"
    )
    _print_metrics(report, title, _RECALL, caption)
    if graded:
        _print_metrics(report, "", _GRADED, "from 0 to 1, [95% bootstrap interval]")
    joint = report.stages[-1] if report.stages[-1].kind == "joint" else None
    times = TextTable(title="milliseconds per query", box=SIMPLE, padding=(0, 1, 0, 0))
    times.add_column("", no_wrap=True)
    for name in ("alone", "p95", "batched", "processor", "times faster than joint"):
        times.add_column(name, justify="right", no_wrap=True)
    for stage in report.stages:
        if stage.timing is not None:
            times.add_row(stage_name(stage), *_times(stage.timing), _factors(stage, joint))
    print_table(times, _WIDTH)
    say("alone: one query at a time, median and 95%; batched: all at once; processor: its time for all at once")
    threads = "one thread" if report.threads == 1 else f"{report.threads} threads"
    say(f"{report.images} images were encoded beforehand, in {report.catalogue_seconds:.1f} s; {threads}")
    for stage in report.stages if joint is not None else ():
        if stage.kind == "cascade" and stage.below_joint is not None:
            one = stage.below_joint
            say(f"{stage_name(stage)}: R@1 {one.value:+.1f} [{one.low:+.1f}, {one.high:+.1f}] beside the joint ranking")


def _print_metrics(report: CascadeReport, title: str, names: tuple[str, ...], caption: str) -> None:
    table = TextTable(title=title, caption=caption, caption_justify="left", box=SIMPLE, padding=(0, 1, 0, 0))
    table.add_column("", no_wrap=True)
    for name in names:
        table.add_column(name.upper().replace("NDCG", "nDCG"), justify="right", no_wrap=True)
    table.add_column("among", justify="right", no_wrap=True)
    among = f"{report.shuffled.candidates:,.6g}"
    for stage in report.stages:
        table.add_row(stage_name(stage), *_cells(stage.metrics.values, names), f"{stage.metrics.candidates:,.6g}")
    table.add_row("  shuffled", *_cells(report.shuffled.values, names), among)
    if set(names) <= report.mean_image.recall.keys():
        table.add_row("  mean image", *_cells(report.mean_image.recall, names), among)
    table.add_row("  chance", *(_value(name, report.shuffled.chance[name]) for name in names), among)
    print_table(table, _WIDTH)


def _value(name: str, value: float) -> str:
    if name in _RECALL:
        return f"{value:.2f}" if 0 < value < 1 else f"{value:.1f}"
    return f"{value:.3f}"


def _cells(values: Mapping[str, Estimate], names: tuple[str, ...]) -> list[str]:
    found = [(name, values[name]) for name in names]
    return [f"{_value(name, one.value)} [{_value(name, one.low)}, {_value(name, one.high)}]" for name, one in found]


def _times(timing: Timing) -> list[str]:
    found = (timing.alone_median, timing.alone_p95, timing.batched, timing.processor)
    return ["" if one is None else format_number(one) for one in found]


def _factors(stage: Stage, joint: Stage | None) -> str:
    """How many times faster than the joint ranking: alone, batched and by the processor's time."""
    if joint is None or joint.timing is None or stage.timing is None or stage is joint:
        return ""
    slow, fast = joint.timing, stage.timing
    pairs = (
        (slow.alone_median, fast.alone_median),
        (slow.batched, fast.batched),
        (slow.processor, fast.processor),
    )
    return ", ".join(f"{one / other:.1f}" for one, other in pairs if one is not None and other)


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
        Panel("time per query, one at a time (median)", points(True)),
        Panel("time per query, all at once", points(False)),
    ]
    svg = tradeoff_svg(title, [name.upper() for name in _RECALL], [panel for panel in panels if panel.points])
    write_output(path, svg, DRAWING)
    say(f"plot: {path}")
