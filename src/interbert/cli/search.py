"""Find the best products for a text, an image, or both: a table here, and a page of images with --html.

TARGET is an index of `interbert index build`: recall by vectors and by the words of titles, then reranking by the joint
model. Or it is a model directory, and --source says what to search: every image is then scored jointly, which suits
catalogues up to some ten thousand images; --regions keeps what was extracted for next time. Several texts are
separated by a vertical bar.

    interbert search indexes/shop "red summer dress" --where "price < 50 and colour != 'black'" --top-k 20
    interbert search indexes/shop "the same in blue" --image photo.jpg --html
    interbert search indexes/shop "" --image photo.jpg
    interbert search indexes/shop "" --queries queries.txt --results results.csv --show-columns price,brand
    interbert search models/retrieval "红色连衣裙|running shoes" --source photos/ --regions regions/photos
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal

from interbert.cli.renamed import spelled
from interbert.utils.terminal import say

if TYPE_CHECKING:
    from interbert.cli.search_queries import TextQuery
    from interbert.search.results import Results

_OF_SOURCES = ("source", "image_column", "text_columns", "image_id_column", "product_id_column")
_SIDE = 192
"""Pixels of a thumbnail's long side."""


@dataclass
class Options:
    """Options of ``interbert search``."""

    target: str
    """Index, or model directory."""
    text: str
    """What the image should show; several texts are separated by |; empty with --image or --queries alone."""
    queries: str | None = None
    """File of queries: .txt with one a line, or .csv, .tsv or .jsonl with a column text or query, and perhaps an id."""
    image: str | None = None
    """An image file that results should look like."""
    where: str | None = None
    """Index: a filter, such as "price < 50 and colour = 'black'"; with or, not, in (..), between, contains, is null.
    Rows without a colour do not fulfil colour != 'black': add "or colour is null" to have them."""
    top_k: int = 10
    """Results per text."""
    candidates: int | None = None
    """Products that are recalled for the joint model, twice --top-k at least; 32 when not given, all with --source."""
    rerank: bool = True
    """Rerank by the joint model; false keeps recall's order."""
    read_all: bool = False
    """Read every candidate jointly, also those that by fine-tuning's measure cannot come to the first places."""
    full_text: bool = True
    """Index: let the words of titles count beside the images; false looks at images only."""
    spelling: bool = True
    """Index: correct wrong letters by the words of its titles ("addidas"), which is said; false searches for the words
    as typed."""
    synonyms: str | None = None
    """Index: file of synonyms, a line each: "sneakers, trainers, running shoes", or one way: "kicks => sneakers"."""
    image_weight: float = 0.5
    """What the image's likeness counts beside the text's match, 0 to 1."""
    duplicates: float | None = None
    """Products whose images have this cosine or more are one result; 2 keeps them apart. When not given 0.995, and 2
    with --source."""
    html: bool = False
    """Write a page of images, search.html; --page names another file."""
    page: str | None = None
    """HTML page to write; 'none' writes none. A model directory as target writes search.html when not given."""
    results: str | None = None
    """File to write results to: .json, .jsonl with a query a line, or .csv with a result a row."""
    show_columns: list[str] = field(default_factory=list)
    """Columns of the catalogue shown in table, page and file of results; 'price' when there is one."""
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    """auto: bf16 where the CPU or GPU multiplies it in hardware; fp32: the same on every machine."""
    model: str | None = None
    """Index: where its model is, for an index in a bucket."""
    source: str = ""
    """Model: images to search: a file, a folder or a Hub id."""
    image_column: str | None = None
    """Model: column that holds the images; found when not given."""
    text_columns: list[str] = field(default_factory=list)
    """Model: columns whose texts are shown beside the images; they are not searched."""
    image_id_column: str | None = None
    """Model: column with an id that is unique per image; the row number when not given."""
    product_id_column: str | None = None
    """Model: column with an id that images of one product share, which are one result; 'product_id', 'item_id' or 'id'
    when there is one."""
    split: str | None = None
    """Model: split of a Hub data set."""
    regions: str | None = None
    """Model: region store that keeps what was extracted, for the next search."""


def run(options: Options) -> None:
    """Search, print and write the page."""
    from pathlib import Path

    from interbert.cli.search_output import RESULTS
    from interbert.cli.search_queries import queries_of
    from interbert.errors import UsageError
    from interbert.search.results import require_format
    from interbert.utils.files import PAGE, require_apart, require_replaceable

    indexed = "://" in options.target or Path(options.target, "manifest.lance").is_dir()
    if options.top_k < 1:
        raise UsageError(f"search: --top-k must be at least 1, not {options.top_k}.")
    page = options.page or ("search.html" if options.html or not indexed else "none")
    written = None if page == "none" else page
    require_apart({"--page": written, "--results": options.results, "--queries": options.queries})
    require_replaceable(written, PAGE)
    if options.results is not None:
        require_format(options.results)
        require_replaceable(options.results, RESULTS)
    queries = queries_of(options.text, options.queries, options.image)
    if indexed:
        _search_index(options, queries, page)
    else:
        _search_source(options, queries, page)


def _search_index(options: Options, queries: Sequence[TextQuery], page: str) -> None:
    import base64

    from interbert.utils.light_imports import import_lancedb

    import_lancedb()  # before anything else imports it

    from interbert.cli.search_output import print_results, write_page, write_results
    from interbert.errors import UsageError
    from interbert.search.engine import SearchEngine
    from interbert.search.index import ProductIndex
    from interbert.search.query import CANDIDATES, DUPLICATES
    from interbert.search.results import Results
    from interbert.search.rewriting import QueryRewriter
    from interbert.search.suggestions import filter_notes
    from interbert.search.synonyms import Synonyms
    from interbert.utils.precision import asks_for_bf16

    for name in (*_OF_SOURCES, "regions", "split"):
        if getattr(options, name):
            raise UsageError(
                f"search: {options.target} is an index, which has its own images. Leave {spelled(name)} out."
            )
    synonyms = None if options.synonyms is None else Synonyms.read(options.synonyms)
    engine = SearchEngine.open(options.target, options.model, asks_for_bf16(options.precision))
    assert isinstance(engine.index, ProductIndex)
    columns = _shown(options, [column.name for column in engine.index.metadata_columns])
    rewriter = QueryRewriter(engine, synonyms, options.spelling)
    settings = _settings(options, CANDIDATES, DUPLICATES)
    results: list[Results] = []
    for query in queries:
        rewritten = rewriter.rewrite(query.text)
        hits = engine.search(rewritten.text or None, **settings, synonyms=rewritten.synonyms)
        changed = "" if rewritten.text == query.text else f" (typed: {query.text})"
        one = Results(_named(rewritten.text + changed, options), hits, query.text, query.query_id, columns)
        one = replace(one, notes=(*_order(one, options, options.full_text), *rewritten.notes))
        results.append(one)
        print_results(one, "product", f"(best {len(hits)} of {len(engine.index):,} images)")
    for note in filter_notes(engine.index, options.where):
        say(f"  note: {note}")
    write_results(options.results, results)
    if page != "none":
        ids = sorted({hit.id for one in results for hit in one.hits})
        files = (base64.b64encode(file).decode("ascii") for file in engine.index.thumbnails(ids))
        images = {name: f"data:image/jpeg;base64,{file}" for name, file in zip(ids, files, strict=True)}
        source, model = engine.index.manifest.origin
        write_page(page, results, images, f"{len(engine.index):,} images of {source}, ranked by {model}")


def _search_source(options: Options, queries: Sequence[TextQuery], page: str) -> None:
    from interbert.cli.output import print_not_shown
    from interbert.cli.search_output import print_results, write_page, write_results
    from interbert.extraction.columns import ColumnMapping
    from interbert.extraction.sources import open_source
    from interbert.report.images import thumbnails
    from interbert.search.engine import SearchEngine
    from interbert.search.results import Results
    from interbert.search.source_index import SourceIndex
    from interbert.utils.precision import asks_for_bf16
    from interbert.utils.redaction import published
    from interbert.utils.terminal import progress_bar

    _require_source(options)
    mapping = ColumnMapping(
        options.image_column, tuple(options.text_columns), options.image_id_column, options.product_id_column
    )
    source = open_source(options.source, mapping, options.split, need_texts=False)
    columns = _shown(options, source.column_names)
    engine = SearchEngine.of_source(
        options.target, source, options.regions, asks_for_bf16(options.precision), progress=True
    )
    index = engine.index
    assert isinstance(index, SourceIndex)
    index.metadata = source.other_columns(columns) if columns else None
    settings = _settings(options, len(index), None)
    candidates = min(max(settings["candidates"], 2 * options.top_k), len(index))
    results: list[Results] = []
    with progress_bar("scoring", len(queries) * candidates, "pairs") as advance:
        for query in queries:
            hits = engine.search(query.text or None, **settings, progress=advance)
            one = Results(_named(query.text, options), hits, query.text, query.query_id, columns)
            results.append(replace(one, notes=_order(one, options, full_text=False)))
    noun = "image" if source.columns.product_id is None and not source.several_images else "product"
    for one in results:
        print_results(one, noun, f"(best {len(one.hits)} of {len(index)} images)")
    if index.problems:
        name, reason = index.problems[0]
        say(f"{len(index.problems)} images could not be used, such as {name}: {reason}")
    write_results(options.results, results)
    if page != "none":
        entries = {one.image_id: one for one in index.entries}
        shown = thumbnails(source, {hit.id: entries[hit.id] for one in results for hit in one.hits}, _SIDE)
        print_not_shown(shown.problems)
        footer = published(f"{len(index)} images of {options.source}, ranked by {options.target}")
        write_page(page, results, shown.uris, footer)


def _shown(options: Options, there: Sequence[str]) -> tuple[str, ...]:
    """Columns to show: those that are asked for, or a price where there is one.

    Raises:
        ColumnError: one is not there.
    """
    from interbert.errors import ColumnError

    for name in options.show_columns:
        if name not in there:
            raise ColumnError.missing(name, there, options.source or options.target)
    found = [name for name in there if name.lower() == "price"]
    return tuple(dict.fromkeys(options.show_columns)) or tuple(found[:1])


def _order(one: Results, options: Options, full_text: bool) -> tuple[str, ...]:
    """What the order follows, where it is not that of the matches."""
    from interbert.cli.search_output import order_note

    asked = (bool(one.query), options.image is not None, options.rerank, full_text)
    return (order_note(*asked),) if one.scored and one.hits else ()


def _require_source(options: Options) -> None:
    """Check that a source is named, and nothing that only an index has."""
    from pathlib import Path

    from interbert.errors import UsageError

    if not options.source:
        if not Path(options.target, "config.json").is_file():
            raise UsageError(
                f"{options.target}: there is no index here, and no model. Make an index with: interbert index build "
                f"MODEL SOURCE {options.target}; or, with a model, search: say where the images are: --source FILE."
            )
        raise UsageError(
            "search: say where the images are: --source catalogue.parquet, or a folder, or a Hub id; "
            f"{options.target} is no index."
        )
    for name, given in (("where", options.where), ("model", options.model), ("synonyms", options.synonyms)):
        if given is not None:
            raise UsageError(f"search: {spelled(name)} needs an index. Make one with: interbert index build")


def _named(text: str, options: Options) -> str:
    """A query as its results are headed."""
    return " + ".join(part for part in (text, options.image) if part)


def _settings(options: Options, candidates: int, duplicates: float | None) -> dict[str, Any]:
    """What :meth:`~interbert.search.engine.SearchEngine.search` takes beside the text; the last two when not given."""
    return {
        "image": options.image,
        "where": options.where,
        "top_k": options.top_k,
        "candidates": candidates if options.candidates is None else options.candidates,
        "rerank": options.rerank,
        "read_all": options.read_all,
        "full_text": options.full_text,
        "image_weight": options.image_weight,
        "duplicates": duplicates if options.duplicates is None else options.duplicates,
    }
