"""Pieces of HTML that the pages about training share. All texts are escaped."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from interbert.report.charts import Chart
from interbert.report.svg import chart_figure, key
from interbert.search.page import escape, format_probability, image_html, stylesheet


@dataclass(frozen=True)
class QueryResult:
    """One text and the images found for it.

    Attributes:
        text: the query.
        right: keys of the right images.
        rank: rank of the best right image.
        hits: (image key, probability), best first.
    """

    text: str
    relevant: frozenset[str]
    rank: int
    hits: tuple[tuple[str, float], ...]


def by_hash(texts: Sequence[str]) -> list[int]:
    """Places of texts in the order of their hash: what to show of many, so that nobody can have picked the good."""
    return sorted(range(len(texts)), key=lambda place: hashlib.sha256(texts[place].encode()).hexdigest())


def shared_style() -> str:
    """CSS of everything here."""
    return stylesheet("interbert.report", "parts.css")


def fact_cards(cards: Sequence[tuple[str, str]]) -> str:
    """Large figures: (figure, what it is)."""
    items = "".join(
        f'<div class="fact"><b>{escape(figure)}</b><span>{escape(what)}</span></div>' for figure, what in cards
    )
    return f'<div class="facts">{items}</div>'


def chart_grid(title: str, charts: Sequence[Chart]) -> str:
    """Charts under a heading; "" when there are none."""
    figures = "".join(map(chart_figure, charts))
    return f'<h3>{escape(title)}</h3><div class="charts">{figures}</div>' if figures else ""


def chart_legend(names: Sequence[str] = ()) -> str:
    """What the lines mean.

    Args:
        names: of the runs, in the order of their colours; empty when there is one.
    """
    runs = "".join(f'<li><i class="key {key(slot)}"></i>{escape(name)}</li>' for slot, name in enumerate(names))
    raw = "" if len(names) > 2 else '<li><i class="key pale"></i>as logged</li>'
    return (
        f'<ul class="legend">{runs}<li><i class="key"></i>moving average</li>{raw}'
        '<li><i class="key dashed"></i>chance: what guessing gives</li>'
        '<li><i class="key ring"></i>the model that was kept</li></ul>'
    )


def query_card(query: QueryResult, images: Mapping[str, str], titles: Mapping[str, str]) -> str:
    """A text with the images found for it, the right ones marked.

    Args:
        query: the result.
        images: CSS class of each image that the page has.
        titles: name of each image; stands in the place of one that the page does not have.
    """
    rank = "found first" if query.rank == 1 else f"right image at rank {query.rank:,}"
    missed = sorted(query.relevant & images.keys()) if all(one not in query.relevant for one, _ in query.hits) else []
    wanted = f'<span class="wanted">{image_html(missed[0], images, "the right image")}</span>' if missed else ""
    picks = []
    for name, probability in query.hits:
        relevant = name in query.relevant
        title = titles.get(name, name)
        shown = image_html(name, images, title, title)
        picks.append(
            f'<div class="pick{" right" if relevant else ""}">{shown}{"✓ " if relevant else ""}'
            f"{format_probability(probability)}</div>"
        )
    return (
        f'<article class="q"><h3><span dir="auto">{escape(query.text)}</span>'
        f'<span class="rank{" first" if query.rank == 1 else ""}">{rank}{wanted}</span></h3>'
        f'<div class="row">{"".join(picks)}</div></article>'
    )
