"""``demo/index.html``: what the model learnt, on one page that asks for nothing from outside."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from interbert.redaction import published
from interbert.report.charts import Chart
from interbert.report.parts import QueryResult, chart_grid, chart_legend, fact_cards, query_card, shared_style
from interbert.search.page import document, escape, image_classes, stylesheet


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
    rules, names = image_classes(page.images)
    parts = [
        '<p class="eyebrow">InterBERT</p>',
        f"<h1>{escape(_headline(page))}</h1>",
        f'<p class="lead">{escape(page.lead)}</p>',
        _facts(page),
    ]
    for language, queries in page.queries.items():
        parts.append(f"<h2>{len(queries)} queries, {escape(language)}</h2>")
        parts.append(f'<p class="soft">{escape(page.queries_note)}</p>')
        cards = "\n".join(query_card(query, names, page.names) for query in queries)
        parts.append(f'<div class="queries">\n{cards}\n</div>')
    parts.append(_table(page.results))
    parts.append(_curves(page.charts))
    parts.append(_making(page))
    if page.credit:
        parts.append(f"<footer>{escape(page.credit)}</footer>")
    style = shared_style() + stylesheet("interbert.demo", "page.css") + rules
    return document(f"InterBERT demo: {page.subject}", style, "\n".join(parts))


def _minutes(seconds: float) -> str:
    return f"{seconds:.0f} seconds" if seconds < 90 else f"{seconds / 60:.0f} minutes"


def _headline(page: DemoPage) -> str:
    total = sum(seconds for _, seconds in page.steps)
    return f"{page.subject}: learnt in {_minutes(total)}, on this machine"


def _facts(page: DemoPage) -> str:
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
    return fact_cards(cards)


def _table(results: Sequence[LanguageResult]) -> str:
    if not results:
        return ""
    recalls = list(results[0].recalls)
    head = "".join(f"<th>{escape(name.upper())}</th>" for name in recalls)
    rows = []
    for result in results:
        cells = "".join(
            f'<td class="big">{100 * interval.value:.1f} '
            f"<small>[{100 * interval.low:.1f}, {100 * interval.high:.1f}]</small></td>"
            for interval in result.recalls.values()
        )
        among = f"<td>{result.candidates:,}</td>"
        rows.append(f"<tr><td>{escape(result.name)}</td>{cells}<td>{result.median_rank:g}</td>{among}</tr>")
        controls = (
            ("images shuffled", result.shuffled),
            ("every image the mean one", result.mean_image),
            ("chance", result.chance),
        )
        for label, values in controls:
            if values:
                cells = "".join(
                    f"<td>{100 * values[name]:.1f}</td>" if name in values else "<td></td>" for name in recalls
                )
                rows.append(f'<tr class="control"><td>&emsp;{label}</td>{cells}<td></td>{among}</tr>')
    first = results[0]
    return (
        "<h2>Measured on images it never saw</h2>"
        f'<p class="soft">Each of {first.queries} texts ranks {first.candidates} held-out images, all '
        "pairs scored jointly. Per cent, with bootstrap 95% intervals. With the images shuffled, and with the mean "
        "image in the place of every one, the same evaluation has to fall to chance.</p>"
        '<div class="scroll"><table><thead><tr><th>Text to image</th>'
        f"{head}<th>median rank</th><th>among</th></tr></thead>"
        f"<tbody>{''.join(rows)}</tbody></table></div>"
    )


def _curves(charts: Sequence[tuple[str, Sequence[Chart]]]) -> str:
    parts = [chart_grid(phase, members) for phase, members in charts]
    return f"<h2>How it learnt</h2>{chart_legend()}{''.join(parts)}" if any(parts) else ""


def _making(page: DemoPage) -> str:
    longest = max((seconds for _, seconds in page.steps), default=0.0) or 1.0
    rows = "".join(
        f'<tr><td>{escape(name)}</td><td><i style="width:{100 * seconds / longest:.1f}%"></i></td>'
        f"<td>{seconds:.0f} s</td></tr>"
        for name, seconds in page.steps
    )
    facts = "".join(f"<dt>{escape(name)}</dt><dd>{escape(value)}</dd>" for name, value in page.facts)
    commands = escape("\n".join(map(published, page.commands)))
    following = f"<h2>Try next</h2><pre>{commands}</pre>" if commands else ""
    return (
        '<h2>How it was made</h2><div class="scroll"><table class="steps">'
        f"<tbody>{rows}</tbody></table></div>"
        f"<dl>{facts}</dl>{following}"
    )
