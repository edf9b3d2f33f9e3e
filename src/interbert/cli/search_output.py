"""Results of a search as a table and as a page, of an index and of a source alike."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from interbert.cli.tables import TextTable, print_table
from interbert.search.hits import Hit
from interbert.search.page import render_results
from interbert.utils.files import PAGE, write_output
from interbert.utils.templating import format_probability
from interbert.utils.terminal import say


def print_results(title: str, noun: str, hits: Sequence[Hit]) -> None:
    """One query's results, as a table.

    Args:
        title: above it.
        noun: what a result is: ``product``, or ``image``, whose near-duplicates have a column only where some are.
        hits: best first.
    """
    columns = ["rank", noun, "match", "texts", "similar"]
    if noun == "image" and not any(hit.similar for hit in hits):
        columns.pop()
    table = TextTable(title=title)
    for name in columns:
        table.add_column(name, justify="right" if name in ("rank", "match", "similar") else "left")
    for hit in hits:
        match = "" if hit.probability is None else format_probability(hit.probability)
        similar = f"+{len(hit.similar)}" if hit.similar else ""
        cells = [str(hit.rank), hit.product_id, match, " / ".join(hit.texts), similar]
        table.add_row(*cells[: len(columns)])
    print_table(table)


def write_page(page: str, results: Sequence[tuple[str, Sequence[Hit]]], images: Mapping[str, str], footer: str) -> None:
    """All results with their images, as one file.

    Args:
        page: to write.
        results: each query in words, with its hits.
        images: data URI by image id.
        footer: plain text about images and model.

    Raises:
        StorageError: the file cannot be written.
    """
    write_output(page, render_results(results, images, footer), PAGE)
    say(f"page: {page}")
