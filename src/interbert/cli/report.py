"""Show what a training run did, or compare several, on one page that is one file.

RUNS are model directories of `interbert pretrain` and `interbert finetune`, finished or not: a run that is going on can
be looked at too. The page has each objective's curve against its chance value, validation with the model that was
kept, rate, gradients and speed; what the model makes of pairs that it was not trained on; settings, origin and what it
started from. Of several runs the curves share their axes, and what differs is set off. --source shows the images.

    interbert report models/pretrained --source catalogue.parquet
    interbert report models/a models/b models/c --out comparison.html
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from interbert.utils.terminal import say


@dataclass
class Options:
    """Options of ``interbert report``."""

    runs: list[str]
    """Model directories, one or several."""
    out: str | None = None
    """HTML page to write; report.html in the directory when there is one run."""
    source: str | None = None
    """Where the images come from: the file, folder or Hub id that the held-out regions were extracted from."""
    image_column: str | None = None
    """Column that holds the images; found when not given."""
    image_id_column: str | None = None
    """Column with an id that is unique per image, if the regions were extracted with one."""
    split: str | None = None
    """Split of a Hub data set."""
    regions: str | None = None
    """Region store with pairs to predict; the run's own held-out pairs when not given."""
    samples: int = 12
    """Pairs that each model predicts; 0 predicts nothing and loads no model."""
    axis: Literal["step", "epoch", "minutes"] = "step"
    """What the curves run over."""


def run(options: Options) -> None:
    """Read, predict, write the page."""
    from pathlib import Path

    from interbert.cli.output import print_not_shown
    from interbert.errors import UsageError
    from interbert.extraction.columns import ColumnMapping
    from interbert.extraction.sources import open_source
    from interbert.report.page import build_report
    from interbert.utils.files import PAGE, require_replaceable

    if options.samples < 0:
        raise UsageError(f"report: --samples must be at least 0, not {options.samples}.")
    if not options.runs:
        raise UsageError("report: name a model directory. See: interbert report --help")
    if options.out is None and len(options.runs) > 1:
        raise UsageError("report: say where the page of several runs goes: --out comparison.html")
    out = Path(options.runs[0]) / "report.html" if options.out is None else Path(options.out)
    if out.parent.is_dir() or options.out is not None:  # a run that is not there is named below
        require_replaceable(out, PAGE)
    source = None
    if options.source is not None:
        mapping = ColumnMapping(options.image_column, (), options.image_id_column)
        source = open_source(options.source, mapping, options.split, need_texts=False)
    report = build_report(options.runs, out, source, options.regions, options.samples, options.axis)
    for one, samples in zip(report.runs, report.samples, strict=True):
        if samples.note:
            say(f"{one.name}: no predictions. {samples.note}")
    print_not_shown(report.not_shown)
    say(f"page: {out}")
