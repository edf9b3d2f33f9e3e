"""Say what a region store holds: who extracted it, in which layout, how many rows, which texts, how large.

interbert regions info regions/train
interbert regions info s3://bucket/regions/train
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass
class Options:
    """Options of ``interbert regions info``."""

    store: str
    """Folder or URI of the region store."""


def run(options: Options) -> None:
    """Read and print."""
    from interbert.cli.tables import TextTable, print_table
    from interbert.regions.store import RegionStore
    from interbert.regions.verify import facts

    table = TextTable(title=options.store, show_header=False, box=None, padding=(0, 2, 0, 0))
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in facts(RegionStore.open(options.store)):
        table.add_row(name, value)
    print_table(table)
