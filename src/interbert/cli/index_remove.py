"""Remove products from an index: by id, by a filter, or all that a source does not have any more.

The next search does not find them.

    interbert index remove indexes/shop --ids 15970,39386
    interbert index remove indexes/shop --where "stock = 0"
    interbert index remove indexes/shop --keep catalogue.parquet
"""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass
class Options:
    """Options of ``interbert index remove``."""

    index: str
    """Folder or URI of the index."""
    ids: list[str] = field(default_factory=list)
    """Ids of products or of images."""
    where: str | None = None
    """All images that this filter lets through."""
    keep: str | None = None
    """A source with the columns that the index was built from: all products that it lacks."""


def run(options: Options) -> None:
    """Remove and say what was done."""
    from interbert.cli.index_output import print_changes
    from interbert.errors import UsageError
    from interbert.extraction.sources import ImageSource, open_source
    from interbert.search.changes import remove_from_index, source_mapping
    from interbert.search.manifest import Manifest

    if not options.ids and options.where is None and options.keep is None:
        raise UsageError("index remove: say what to remove: --ids, --where, or all but the products of --keep.")

    def opened(manifest: Manifest) -> ImageSource:
        return open_source(options.keep or "", source_mapping(manifest), need_texts=False)

    keep = None if options.keep is None else opened
    changes = remove_from_index(options.index, ids=options.ids, where=options.where, keep=keep)
    print_changes(options.index, changes)
