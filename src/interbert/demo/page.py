"""``demo/index.html``: what the model learnt, on one page that asks for nothing from outside."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from interbert.report.charts import Chart
from interbert.report.parts import QueryResult
from interbert.report.svg import drawings
from interbert.templating import render


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
