"""Erase what the HTTP service keeps of a client: the searches and events that carry its id, for ever.

Their texts, clicks and purchases are gone from every count and from later exports. Copies of the database, and files
exported before, are yours to clean.

    interbert events erase 7c0e-visitor --state service
"""

from __future__ import annotations

from dataclasses import dataclass

from interbert.utils.terminal import say


@dataclass
class Options:
    """Options of ``interbert events erase``."""

    client: str
    """Id of the client, as it was sent with searches and events."""
    state: str | None = None
    """Folder of the service's state."""
    database: str | None = None
    """URL of the service's database, in place of the folder."""


def run(options: Options) -> None:
    """Erase and say how much, without the id."""
    from interbert.cli.service_state import opened_state

    with opened_state(options.state, options.database) as state:
        count = state.events.erase(options.client)
        told = f"{count} searches and events of the client are erased" if count else "there is nothing of this client"
        say(f"{state.name}: {told}")
