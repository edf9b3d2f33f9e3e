"""Put a snapshot of `interbert snapshot create` back, as an index and a database that `interbert serve` takes.

Every file is checked first. Nothing is overwritten: INDEX must not be there, and the database must be empty. It may be
another kind of database than the snapshot's. Stopped at any moment, the same command goes on.

    interbert snapshot restore backups/monday indexes/restored --state restored
"""

from __future__ import annotations

from dataclasses import dataclass

from interbert.utils.terminal import say


@dataclass
class Options:
    """Options of ``interbert snapshot restore``."""

    snapshot: str
    """Folder of the snapshot."""
    index: str
    """Folder of the index to make."""
    state: str | None = None
    """Folder of the service's state; it is made."""
    database: str | None = None
    """URL of the service's database, instead of --state."""


def run(options: Options) -> None:
    """Restore and say what there is now."""
    from pathlib import Path

    from interbert.cli.service_state import opened_state
    from interbert.utils.terminal import progress_bar

    with opened_state(options.state, options.database, create=True) as opened:
        from interbert.service.snapshot import read_snapshot, restore_snapshot

        total = len(read_snapshot(Path(options.snapshot)).files)
        with progress_bar("checking", total, "files") as advance:
            found = restore_snapshot(options.snapshot, options.index, opened, advance)
    say(f"{options.index}, {opened.name}: restored from {found.made_at}: {found}")
