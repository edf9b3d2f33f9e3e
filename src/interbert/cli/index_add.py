"""Add the products that an index lacks, and bring those that it has up to date.

An image whose file is the same is not encoded again; where only its texts or columns differ they alone are written.
With --columns-only no image is read at all: SOURCE is then any table with ids and the columns that have changed.

    interbert index add indexes/shop new_products.parquet
    interbert index add indexes/shop prices.csv --columns-only
"""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass
class Options:
    """Options of ``interbert index add``."""

    index: str
    """Folder or URI of the index."""
    source: str
    """Products, with the columns that the index was built from."""
    image_column: str | None = None
    """Column that holds the images; as the index was built when not given, like those below."""
    text_columns: list[str] = field(default_factory=list)
    """Columns whose texts are shown and searched in full."""
    image_id_column: str | None = None
    """Column with an id that is unique per image."""
    product_id_column: str | None = None
    """Column with an id that images of one product share."""
    split: str | None = None
    """Split of a Hub data set."""
    columns_only: bool = False
    """Change columns such as price and stock of products that are there, and nothing else."""
    regions: str | None = None
    """Region store with regions of some of the images, which need not be found again."""
    model: str | None = None
    """Where the model is, for an index in a bucket; it must be the one the index was built with."""


def run(options: Options) -> None:
    """Add and say what was done."""
    from interbert.cli.index_output import print_changes, print_left_out
    from interbert.extraction.columns import ColumnMapping
    from interbert.extraction.sources import ImageSource, open_source
    from interbert.search.changes import add_to_index, update_columns
    from interbert.search.manifest import Manifest

    sources: list[ImageSource] = []

    def opened(manifest: Manifest) -> ImageSource:
        built = manifest.mapping
        mapping = ColumnMapping(
            options.image_column or built["picture"],
            tuple(options.text_columns or built["texts"]),
            options.image_id_column or built["picture_id"],
            options.product_id_column or built["product_id"],
        )
        source = open_source(options.source, mapping, options.split, need_texts=False)
        print_left_out(source)
        sources.append(source)
        return source

    if options.columns_only:
        named = options.product_id_column or options.image_id_column
        changes = update_columns(options.index, options.source, named, options.split)
    else:
        changes = add_to_index(options.index, opened, model=options.model, regions=options.regions, progress=True)
    print_changes(options.index, changes, sources[-1] if sources else None)
