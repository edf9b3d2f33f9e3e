"""Say what an index holds: products, columns for filters, bytes, and the model that made it.

interbert index info indexes/shop
"""

from __future__ import annotations

from dataclasses import dataclass

from interbert.utils.terminal import say


@dataclass
class Options:
    """Options of ``interbert index info``."""

    index: str
    """Folder or URI of the index."""


def run(options: Options) -> None:
    """Print the table."""
    from interbert.cli.index_output import print_index
    from interbert.search.index import ProductIndex
    from interbert.search.index_model import model_has_changed

    index = ProductIndex.open(options.index)
    print_index(index)
    if model_has_changed(index):
        manifest = index.manifest
        say(
            f"{manifest.model} has changed since. Searches use the index's own copy; to use the new one: interbert "
            f"index build {manifest.model} {manifest.source} {options.index} --rebuild"
        )
