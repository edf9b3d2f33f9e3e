"""``interbert report``: runs to a page."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from interbert.errors import UsageError
from interbert.extraction.sources import ImageSource
from interbert.outputs import PAGE, write_output
from interbert.report.charts import Axis, place
from interbert.report.images import Thumbnails, thumbnails
from interbert.report.page import Report, render_report
from interbert.report.runs import read_runs
from interbert.report.samples import samples_of
from interbert.training.trainer import LOG_HISTORY


def build_report(
    folders: Sequence[str],
    out: Path,
    source: ImageSource | None = None,
    regions: str | None = None,
    samples: int = 12,
    axis: Axis = "step",
) -> Report:
    """Write the page of one run or several, and return what it was made from.

    Args:
        folders: model directories.
        out: file to write.
        source: where the images of held-out pairs come from; None draws empty frames.
        regions: store with pairs that were not trained on; None takes each run's own.
        samples: pairs to predict, per run; 0 predicts nothing.
        axis: what the curves run over.

    Raises:
        UsageError: a folder holds no run, ``axis`` is not in its log, or ``out`` is a file that is no page.
        DataError: a file of a run is damaged, or ``regions`` do not fit.
        StorageError: the page cannot be written.
    """
    runs = read_runs(folders)
    for run in runs:
        if all(place(one, axis) is None for one in run.log):
            raise UsageError(f"{run.folder / LOG_HISTORY}: has no {axis}. Leave --axis out.")
    predicted = [samples_of(run, samples, regions) for run in runs]
    wanted = {key: caption for one in predicted for key, caption in one.captions.items()}
    shown = thumbnails(source, wanted).require(source) if source is not None else Thumbnails()
    report = Report(runs, predicted, shown.uris, axis, shown.problems)
    page = render_report(report)
    write_output(out, page, PAGE)
    return report
