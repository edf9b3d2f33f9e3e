"""Copy an index and the service's database, as they are at one moment, into a folder that restores.

In it are the version of the index that is searched, its model, and keys (as hashes), topics, tasks, the audit log,
searches and events, with writes that are acknowledged and not finished. The service may run: searches go on, writes of
products wait until the copy is made. OUT may be read by its owner alone.

    interbert snapshot create indexes/shop backups/monday --state service
    interbert snapshot create indexes/shop backups/monday --state service --events false
"""

from __future__ import annotations

from dataclasses import dataclass

from interbert.utils.terminal import say


@dataclass
class Options:
    """Options of ``interbert snapshot create``."""

    index: str
    """Folder or URI of the index."""
    out: str
    """Folder to make."""
    state: str | None = None
    """Folder of the service's state."""
    database: str | None = None
    """URL of the service's database, instead of --state."""
    events: bool = True
    """Searches and events of shoppers, too, which are personal data: erase them there as well, when asked to."""


def run(options: Options) -> None:
    """Make it and say what it holds."""
    from interbert.cli.service_state import opened_state

    with opened_state(options.state, options.database) as opened:
        from interbert.service.snapshot import create_snapshot

        found = create_snapshot(options.index, opened, options.out, options.events)
    say(f"{options.out}: {found}")
