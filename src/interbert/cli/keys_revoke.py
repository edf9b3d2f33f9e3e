"""Revoke a key to the HTTP service: from now on it is refused, for ever. A running service knows it at once.

interbert keys revoke 3f9a1c52b7de --state service
"""

from __future__ import annotations

from dataclasses import dataclass

from interbert.utils.terminal import say


@dataclass
class Options:
    """Options of ``interbert keys revoke``."""

    id: str
    """Id of the key, as keys list shows it."""
    state: str | None = None
    """Folder of the service's state."""
    database: str | None = None
    """URL of the service's database, in place of the folder."""


def run(options: Options) -> None:
    """Revoke and say so."""
    from interbert.cli.service_state import opened_state

    with opened_state(options.state, options.database) as state:
        key = state.keys.revoke(options.id)
        say(f"{state.name}: key {key.id} ({key.name}) is revoked since {key.revoked_at:%Y-%m-%d %H:%M} UTC")
