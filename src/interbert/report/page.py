"""The page of ``interbert report``: what matters first, everything on one page that asks for nothing from outside."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from interbert.checkpoints.bert import FillReport
from interbert.checkpoints.unknown_words import UNKNOWN_WORDS, UnknownWord, read_unknown_words
from interbert.errors import DataError, UsageError
from interbert.extraction.sources import ImageSource
from interbert.report.answers import answers_of
from interbert.report.charts import Axis, objective_charts, place, progress_charts, validation_charts
from interbert.report.images import Thumbnails, thumbnails
from interbert.report.predictions import MaskedRegion, MaskedToken, PairPredictions, share_correct
from interbert.report.results import advice, cards, finals, result_columns, state
from interbert.report.runs import Run, read_runs
from interbert.report.samples import Samples, samples_of
from interbert.report.svg import Drawing, drawings
from interbert.training.pretrain import INITIALISATION
from interbert.training.run_setup import flat
from interbert.training.trainer import LOG_HISTORY
from interbert.utils.files import PAGE, write_output
from interbert.utils.templating import render


@dataclass(frozen=True)
class Row:
    """One entry of all records.

    Attributes:
        name: of the entry.
        values: of each record, as text; None where it has no such entry. Those of absolute paths are compared whole
            and shown as names.
    """

    name: str
    values: tuple[str | None, ...]

    @property
    def differs(self) -> bool:
        """Whether two records that have the entry have different values."""
        return len({value for value in self.values if value is not None}) > 1


def rows_of(records: Sequence[Mapping[str, Any]]) -> list[Row]:
    """Every entry of any record, in the order in which they come up."""
    names = dict.fromkeys(name for record in records for name in record)
    return [Row(name, tuple(_text(one[name]) if name in one else None for one in records)) for name in names]


def _text(value: Any) -> str:
    if value is None:
        return "none"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return f"{value:.6g}"
    return ", ".join(map(_text, value)) or "[]" if isinstance(value, list | tuple) else str(value)


_MOST = 12
"""Hidden tokens, and hidden regions, that a card lists."""
_MASK = "[MASK]"
_WORDS = 20
"""Words that are [UNK], at most."""


@dataclass(frozen=True)
class PairCard:
    """One pair as ``pairs.html`` shows it.

    Attributes:
        pair: the predictions.
        image: its key.
    """

    pair: PairPredictions
    image: str

    @property
    def words(self) -> Iterator[tuple[str, int | None, str]]:
        """Space before, number if it was to be predicted, and text of each of the caption's tokens."""
        numbers = {token.place: count for count, token in enumerate(self.pair.hidden, start=1)}
        truths = {token.place: token.truth for token in self.pair.hidden}
        for position, token in enumerate(self.pair.tokens):
            written = truths.get(position, token)
            glued = written.startswith("##") or (len(written) == 1 and not written.isascii())
            text = "\u2002\u2002" if token == _MASK else token.removeprefix("##")
            yield "" if glued or not position else " ", numbers.get(position), text

    @property
    def tokens(self) -> Sequence[MaskedToken]:
        """Those that are listed."""
        return self.pair.hidden[:_MOST]

    @property
    def regions(self) -> list[tuple[str, MaskedRegion]]:
        """Letter and region of those that are listed."""
        return [(chr(ord("A") + place), region) for place, region in enumerate(self.pair.regions[:_MOST])]

    @property
    def boxes(self) -> list[tuple[str, tuple[float, float, float, float]]]:
        """Letter and box of the same."""
        return [(letter, region.box) for letter, region in self.regions]


@dataclass(frozen=True)
class PairCards:
    """All pairs of a run.

    Attributes:
        shown: a card of each.
        correct: how often the first guess was right, in words.
    """

    shown: Sequence[PairCard]
    correct: str

    @classmethod
    def of(cls, pairs: Sequence[PairPredictions], keys: Mapping[int, str]) -> PairCards:
        """Of predictions, and the image key of each store row."""
        counts = (f"{name} {correct} of {of}" for name, (correct, of) in share_correct(pairs).items())
        return cls([PairCard(pair, keys[pair.row]) for pair in pairs], ", ".join(counts))


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
        advice=[(run.name, line) for run in runs for line in advice(run)],
        answers=[(run.name, found) for run in runs if (found := answers_of(run)) is not None],
        samples=[(run.name, _sample(one)) for run, one in zip(runs, report.samples, strict=True)],
        records=rows_of(origins),
        starts=[(run.name, *_start(run)) for run in runs],
        unknown=[(run.name, _unknown(run)) for run in runs],
    )


def _unknown(run: Run) -> list[UnknownWord]:
    """Words of its texts that a run's vocabulary lacks, or lacked before it grew."""
    try:
        return read_unknown_words(run.folder, _WORDS)
    except ValueError as error:
        file = run.folder / UNKNOWN_WORDS
        raise DataError(f"{file}: is damaged ({error}). Remove it to see the page without it.") from error


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
        if run.kind == "pretraining on texts":
            return "random weights", None
        return run.recipe.get("model") or run.recipe.get("init_from") or "not known", None
    try:
        return "", FillReport.from_dict(run.initialisation)
    except (KeyError, TypeError, ValueError) as error:
        file = run.folder / INITIALISATION
        raise DataError(f"{file}: is damaged (no {error}). Remove it to see the page without it.") from error


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
