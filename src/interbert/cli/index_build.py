"""Make an index of a catalogue, which `interbert search` and `interbert topics` read.

MODEL is a fine-tuned model directory; SOURCE is a parquet, csv or jsonl file, a folder of images, or a Hub id; INDEX
is a folder, or a URI such as s3://bucket/shop. The index holds vectors, the regions that reranking needs in a few
kilobytes a product, thumbnails, texts for full-text search, and the source's other columns for filters. It keeps a copy
of what it needs of the model. Stopped at any moment, the same command goes on where it was.

    interbert index build models/retrieval catalogue.parquet indexes/shop
    interbert index build models/retrieval catalogue.parquet indexes/shop --columns price,colour --regions regions/train
    interbert index build models/better catalogue.parquet indexes/shop --rebuild
    interbert index build models/better catalogue.parquet indexes/shop --rebuild --validate held_out.tsv --tolerance 0.5

With --validate both builds answer the queries of a file of judgements, and the new one is searched only if it is not
worse: the upper bound of the 95% interval (paired bootstrap over queries) of what it loses is at most --tolerance, in
R@1 and in nDCG@10. Else the old one stays, the exit code is 1, and the new one is kept aside.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from interbert.utils.terminal import say


@dataclass
class Options:
    """Options of ``interbert index build``."""

    model: str
    """Model directory."""
    source: str
    """Images, texts and columns: a file, a folder or a Hub id."""
    index: str
    """Folder or URI of the index."""
    image_column: str | None = None
    """Column that holds the images; found when not given."""
    text_columns: list[str] = field(default_factory=list)
    """Columns whose texts are shown and searched in full; found when not given."""
    image_id_column: str | None = None
    """Column with an id that is unique per image; made from product ids when not given."""
    product_id_column: str | None = None
    """Column with an id that images of one product share; 'product_id', 'item_id' or 'id' when there is one."""
    split: str | None = None
    """Split of a Hub data set."""
    columns: list[str] = field(default_factory=list)
    """Columns that filters can use; all others that hold single values when not given."""
    token_quantisation: Literal["int8", "fp16"] = "int8"
    """How regions are kept: int8 takes half the room of fp16."""
    regions: str | None = None
    """Region store with regions of some of the images, which need not be found again."""
    mirrored: bool = False
    """Encode mirror images, too, and average both vectors: finds a little better, takes twice the time."""
    rebuild: bool = False
    """Build anew although there is an index: searches go on with the old one until the new one is complete."""
    validate: str | None = None
    """Judgements or pairs that no model was trained on (query, product_id, grade; .tsv, .csv or .jsonl)."""
    tolerance: float = 1.0
    """Percentage points of R@1 and of nDCG@10 that the new build may lose, as an upper bound."""
    validate_queries: int = 1000
    """A sample of so many of its queries."""


def run(options: Options) -> None:
    """Build and say what was done."""
    from interbert.cli.index_output import print_changes, print_left_out
    from interbert.extraction.columns import ColumnMapping
    from interbert.extraction.sources import open_source
    from interbert.search.build import build_index

    mapping = ColumnMapping(
        options.image_column, tuple(options.text_columns), options.image_id_column, options.product_id_column
    )
    source = open_source(options.source, mapping, options.split, need_texts=False)
    print_left_out(source)
    validation = None
    if options.validate is not None:
        from interbert.rollout.validation import Validation

        validation = Validation(options.validate, options.tolerance, options.validate_queries)
    changes = build_index(
        options.model,
        source,
        options.index,
        columns=options.columns,
        token_quantisation=options.token_quantisation,
        regions=options.regions,
        mirrored=options.mirrored,
        rebuild=options.rebuild,
        progress=True,
        validate=validation,
    )
    if validation is not None and validation.comparison is not None:
        say(f"{options.index}: the new build is not worse. {validation.comparison}")
    print_changes(options.index, changes, source)
