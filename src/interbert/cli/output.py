"""What verbs print and write for people to look at."""

from __future__ import annotations

from collections.abc import Sequence

from rich.box import SIMPLE

from interbert.cli.tables import TextTable, print_table
from interbert.tasks.evaluation import RetrievalReport
from interbert.tasks.metrics import DirectionMetrics
from interbert.tasks.retrieval import RERANKED
from interbert.utils.terminal import say

_LISTED = 5
_WIDTH = 108
"""Characters of the widest table: a narrower terminal wraps it, which is better than cut numbers."""


def print_retrieval(report: RetrievalReport, zero_shot: bool) -> None:
    """Recall of every direction and control, as a table."""
    rows: list[tuple[str, DirectionMetrics | None]] = [
        ("text to image", report.joint.text_to_image),
        ("  dual encoder", report.dual),
        ("  matching head, sides apart", report.by_head),
        ("  shuffled", report.shuffled),
        ("  mean image", report.mean_image),
        ("image to text", report.joint.image_to_text),
    ]
    first = report.joint.text_to_image
    title = f"{'zero-shot ' if zero_shot else ''}retrieval, {first.n} texts x {first.candidates} images"
    caption = (
        "per cent, [95% bootstrap interval]; controls, near chance: other images' columns (shuffled), "
        f"every image the mean one ({report.mean_image.n} texts)"
    )
    table = TextTable(title=title, caption=caption, caption_justify="left", box=SIMPLE, padding=(0, 1, 0, 0))
    table.add_column("")
    for name in first.recall:
        table.add_column(name.upper(), justify="right")
    table.add_column("median", justify="right")
    table.add_column("among", justify="right")
    for label, metrics in rows:
        if metrics is not None:
            cells = [f"{one.value:.1f} [{one.low:.1f}, {one.high:.1f}]" for one in metrics.recall.values()]
            table.add_row(label, *cells, f"{metrics.median_rank:g}", str(metrics.candidates))
        if metrics is report.mean_image:
            chance = (f"{value:.2f}" for value in first.chance.values())
            table.add_row("  chance", *chance, "", str(first.candidates))
    print_table(table, _WIDTH)
    say("among: candidates that a query ranks")
    best = f"{min(RERANKED, first.candidates)} best images"
    say(f"probabilities of each text's {best} are off by {report.calibration_error:.3f} (calibration error)")
    say(f"{report.scores.size} pairs in {report.seconds:.1f} s, {report.scores.size / report.seconds:.0f} pairs/s")


def print_not_shown(problems: Sequence[str]) -> None:
    """Which images a page does not show, and why."""
    for problem in problems[:_LISTED]:
        say(f"not shown: {problem}")
    if len(problems) > _LISTED:
        say(f"not shown: {len(problems) - _LISTED} more images")
