"""Results of a search as a table, as a page and as a file, of an index and of a source alike."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from interbert.cli.tables import TextTable, print_table
from interbert.search.hits import Hit
from interbert.search.page import render_results
from interbert.search.results import Results, cell, format_results, recognises
from interbert.utils.files import PAGE, Kind, write_output
from interbert.utils.templating import format_probability
from interbert.utils.terminal import say

RESULTS = Kind("results of `interbert search`", recognises)


def print_results(one: Results, noun: str, suffix: str) -> None:
    """One query's results, as a table; what is to know of them below.

    Args:
        one: the results.
        noun: what a result is: ``product``, or ``image``, whose near-duplicates have a column only where some are.
        suffix: of the title.
    """
    columns = ["rank", noun, "match", *(["score"] if one.scored else []), "texts", *one.columns, "similar"]
    if noun == "image" and not any(hit.similar for hit in one.hits):
        columns.pop()
    table = TextTable(title=f"{one.title}  {suffix}")
    for place, name in enumerate(columns):
        right = place in (0, 2) or (place == 3 and one.scored) or (name == "similar" and place == len(columns) - 1)
        table.add_column(name, justify="right" if right else "left", overflow="fold")
    for hit in one.hits:
        table.add_row(*_cells(hit, one)[: len(columns)])
    print_table(table)
    for note in one.notes:
        say(f"  {note}")


def _cells(hit: Hit, one: Results) -> list[str]:
    match = "" if hit.probability is None else format_probability(hit.probability, hit.estimated)
    similar = f"+{len(hit.similar)}" if hit.similar else ""
    score = [f"{hit.score:.4f}"] if one.scored else []
    shown = [cell(hit.metadata.get(name)) for name in one.columns]
    return [str(hit.rank), hit.product_id, match, *score, " / ".join(hit.texts), *shown, similar]


def order_note(text: bool, image: bool, rerank: bool, full_text: bool) -> str:
    """What the scores are that results are ordered by, where these are not the matches.

    Args:
        text: the query has a text.
        image: the query has an image.
        rerank: candidates are scored by the joint model.
        full_text: the words of titles are searched.
    """
    base = "the match" if text and rerank else "likeness of vectors"
    if text and image:
        base = f"{base} to the text and likeness to the image, each by its deviations from the mean"
    if not (text and full_text):
        return f"ordered by the score: {base}"
    return (
        f"ordered by the score: 1 / (60 + rank by {base}), and the same by the words of titles where a title has any "
        "(reciprocal rank fusion); --full-text false leaves the titles out"
    )


def estimates_note(hits: Sequence[Hit]) -> tuple[str, ...]:
    """How many matches are estimates, where some are."""
    number = sum(hit.estimated for hit in hits)
    if not number:
        return ()
    whose = "the match of 1 result is an estimate" if number == 1 else f"the matches of {number} results are estimates"
    return (
        f"{whose} (~): too far below to come first, so not read by the joint model; --read-all reads every candidate",
    )


def write_page(page: str, results: Sequence[Results], images: Mapping[str, str], footer: str) -> None:
    """All results with their images, as one file.

    Args:
        page: to write.
        results: of each query.
        images: data URI by image id.
        footer: plain text about images and model.

    Raises:
        StorageError: the file cannot be written.
    """
    write_output(page, render_results(results, images, footer), PAGE)
    say(f"page: {page}")


def write_results(path: str | None, results: Sequence[Results]) -> None:
    """All results as JSON or CSV, by the name of the file; None writes none.

    Raises:
        StorageError: the file cannot be written.
    """
    if path is not None:
        write_output(path, format_results(results, path), RESULTS)
        say(f"results: {path}")
