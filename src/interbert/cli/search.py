"""Rank a catalogue's pictures for a text with the joint model: a table here, and a page of pictures in --page.

MODEL is a model directory; SOURCE is anything `interbert extract` reads: a parquet, csv or jsonl file, a folder of
pictures, or a Hub id. Several texts are separated by a vertical bar. --regions keeps what was extracted for next time.

    interbert search models/retrieval "red summer dress" --source catalogue.parquet --page results.html
    interbert search models/retrieval "红色连衣裙|running shoes" --source photos/ --regions regions/photos
"""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass
class Options:
    """Options of ``interbert search``."""

    model: str
    """Model directory."""
    text: str
    """What the picture should show; several texts are separated by |."""
    source: str = ""
    """Pictures to search: a file, a folder or a Hub id."""
    picture: str | None = None
    """Column that holds the pictures; found when not given."""
    texts: list[str] = field(default_factory=list)
    """Columns whose texts are shown beside the pictures; they are not searched."""
    picture_id: str | None = None
    """Column with an id that is unique per picture; the row number when not given."""
    split: str | None = None
    """Split of a Hub data set."""
    regions: str | None = None
    """Region store that keeps what was extracted, for the next search."""
    top_k: int = 10
    """Results per text."""
    page: str = "search.html"
    """HTML page to write; 'none' writes none."""


def run(options: Options) -> None:
    """Search, print and write the page."""
    from pathlib import Path

    from interbert.cli.output import print_hits, require_writable_file, write_results_page
    from interbert.errors import UsageError
    from interbert.extraction.columns import ColumnMapping
    from interbert.extraction.sources import open_source
    from interbert.progress import progress_bar
    from interbert.search.catalogue import CatalogueSearch

    if not options.source:
        raise UsageError("search: say where the pictures are: --source catalogue.parquet, or a folder, or a Hub id.")
    if options.top_k < 1:
        raise UsageError(f"search: --top_k must be at least 1, not {options.top_k}.")
    require_writable_file(None if options.page == "none" else options.page)
    queries = [text.strip() for text in options.text.split("|")]
    if not all(queries):
        raise UsageError(f"search: {options.text!r} holds an empty text. Say what the picture should show.")
    mapping = ColumnMapping(options.picture, tuple(options.texts), options.picture_id)
    source = open_source(options.source, mapping, options.split, need_texts=False)
    engine = CatalogueSearch.load(options.model)
    catalogue = engine.catalogue(source, options.regions, progress=True)
    with progress_bar("scoring", len(queries) * len(catalogue.entries), "pairs") as advance:
        results = engine.search(queries, catalogue, options.top_k, advance)
    for text, hits in zip(queries, results, strict=True):
        print_hits(text, hits, len(catalogue.entries))
    if catalogue.problems:
        name, reason = catalogue.problems[0]
        print(f"{len(catalogue.problems)} pictures could not be used, such as {name}: {reason}")
    if options.page != "none":
        footer = f"{len(catalogue.entries)} pictures of {options.source}, ranked by {options.model}"
        write_results_page(Path(options.page), list(zip(queries, results, strict=True)), source, footer)
        print(f"page: {options.page}")
