"""``demo/index.html`` and ``results.json``: what was measured for each language, kept, read again and shown."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from scipy.special import expit

from interbert.report.charts import Chart
from interbert.report.predictions import QueryResult, by_hash
from interbert.report.svg import drawings
from interbert.tasks.evaluation import RetrievalReport
from interbert.tasks.metrics import best_ranks
from interbert.tasks.retrieval import RetrievalSet
from interbert.utils.bounded_files import read_json, reading
from interbert.utils.files import atomic_write
from interbert.utils.templating import render


@dataclass(frozen=True)
class Interval:
    """A measured share with its 95% bounds, all in [0, 1]."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class LanguageResult:
    """What was measured in one language on images the model never saw.

    Attributes:
        name: such as "English".
        recalls: "r@1" and so on, each with its interval.
        median_rank: of the right image.
        chance: recall of random ranking, by the same names.
        shuffled: recall of the same evaluation with the images shuffled, by the same names.
        mean_image: recall when every image is the mean image, by the same names; empty when not measured.
        queries: texts asked.
        candidates: images ranked for each text.
    """

    name: str
    recalls: Mapping[str, Interval]
    median_rank: float
    chance: Mapping[str, float]
    shuffled: Mapping[str, float]
    queries: int
    candidates: int
    mean_image: Mapping[str, float] = field(default_factory=dict)

    @property
    def controls(self) -> dict[str, Mapping[str, float]]:
        """Recalls that have to be at chance, by what they are of."""
        return {
            "images shuffled": self.shuffled,
            "every image the mean one": self.mean_image,
            "chance": self.chance,
        }


@dataclass(frozen=True)
class DemoPage:
    """Everything the page shows.

    Attributes:
        subject: what was learnt, such as "OpenMoji".
        lead: plain sentences under the headline.
        results: one per language.
        queries: per language name, the shown queries.
        queries_note: how the queries were chosen.
        images: data URI of each image key.
        charts: (phase, its charts).
        steps: (step, seconds of work).
        facts: (name, value): machine, versions, settings.
        commands: lines to try next.
        credit: licence line of the images.
    """

    subject: str
    lead: str
    results: Sequence[LanguageResult]
    queries: Mapping[str, Sequence[QueryResult]]
    queries_note: str
    images: Mapping[str, str]
    charts: Sequence[tuple[str, Sequence[Chart]]]
    steps: Sequence[tuple[str, float]]
    facts: Sequence[tuple[str, str]]
    commands: Sequence[str] = ()
    credit: str = ""
    names: Mapping[str, str] = field(default_factory=dict)


def render_demo(page: DemoPage) -> str:
    """The page as HTML. All texts are escaped; images are inlined once each."""
    charts = [(phase, drawings(members)) for phase, members in page.charts]
    duration = _minutes(sum(seconds for _, seconds in page.steps))
    return render("demo.html", page.images, page=page, facts=_facts(page), charts=charts, duration=duration)


def _minutes(seconds: float) -> str:
    return f"{seconds:.0f} seconds" if seconds < 90 else f"{seconds / 60:.0f} minutes"


def _facts(page: DemoPage) -> list[tuple[str, str]]:
    cards = []
    for result in page.results:
        recall, chance = result.recalls["r@1"], result.chance["r@1"]
        times = f", {recall.value / chance:.0f} times chance" if chance > 0 else ""
        cards.append((f"{100 * recall.value:.0f}%", f"right image first, {result.name}{times}"))
    for result in page.results:
        largest = max(result.recalls, key=lambda name: int(name.split("@")[1]))
        value = f"{100 * result.recalls[largest].value:.0f}%"
        cards.append((value, f"right image in the first {largest.split('@')[1]}, {result.name}"))
    if page.results:
        cards.append((str(page.results[0].candidates), "images ranked, none seen in training"))
    return cards


@dataclass(frozen=True)
class LanguageOutcome:
    """One language: what was measured, what is shown, and the whole report for ``results.json``."""

    result: LanguageResult
    queries: tuple[QueryResult, ...]
    report: Mapping[str, Any]


def language_outcome(
    name: str, data: RetrievalSet, report: RetrievalReport, keys: Sequence[str], shown: int, hits: int
) -> LanguageOutcome:
    """Gather one language's outcome.

    The queries shown are the first ones by the hash of their text, so that nobody can have picked the good ones.

    Args:
        name: of the language.
        data: texts and images.
        report: of the full ranking.
        keys: name of each image.
        shown: queries on the page.
        hits: images shown for each.
    """
    joint = report.joint.text_to_image
    result = LanguageResult(
        name=name,
        recalls={k: Interval(one.value / 100, one.low / 100, one.high / 100) for k, one in joint.recall.items()},
        median_rank=joint.median_rank,
        chance={k: value / 100 for k, value in joint.chance.items()},
        shuffled={k: one.value / 100 for k, one in report.shuffled.recall.items()},
        queries=joint.n,
        candidates=joint.candidates,
        mean_image={k: one.value / 100 for k, one in report.mean_image.recall.items()},
    )
    ranks = best_ranks(report.scores, data.relevant)
    queries = []
    for text in by_hash(data.texts)[:shown]:
        line = report.scores[text].astype(np.float64)
        best = np.argsort(-line, kind="stable")[:hits]
        queries.append(
            QueryResult(
                text=data.texts[text],
                relevant=frozenset(keys[image] for image in np.flatnonzero(data.relevant[text]).tolist()),
                rank=int(ranks[text]),
                hits=tuple((keys[image], float(expit(line[image]))) for image in best.tolist()),
            )
        )
    return LanguageOutcome(result, tuple(queries), report.to_dict())


def write_outcomes(path: Path, outcomes: Sequence[LanguageOutcome]) -> None:
    """Write ``results.json``."""
    records = [
        {
            "result": asdict(one.result),
            "report": dict(one.report),
            "queries": [asdict(query) | {"relevant": sorted(query.relevant)} for query in one.queries],
        }
        for one in outcomes
    ]
    atomic_write(path, json.dumps(records, ensure_ascii=False, indent=1) + "\n")


def read_outcomes(path: Path) -> list[LanguageOutcome]:
    """Inverse of :func:`write_outcomes`.

    Raises:
        DataError: the file is not there or damaged.
    """
    with reading(path, "Remove it, and run the demo again."):
        return [_outcome(record) for record in read_json(path)]


def _outcome(record: Any) -> LanguageOutcome:
    result = record["result"]
    recalls = {name: Interval(**values) for name, values in result["recalls"].items()}
    queries = [
        QueryResult(
            one["text"], frozenset(one["relevant"]), one["rank"], tuple((key, value) for key, value in one["hits"])
        )
        for one in record["queries"]
    ]
    return LanguageOutcome(LanguageResult(**(result | {"recalls": recalls})), tuple(queries), record["report"])
