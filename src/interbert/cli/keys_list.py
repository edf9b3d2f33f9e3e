"""List the keys to the HTTP service, without their secrets, which nobody has but their owners.

interbert keys list --state service
"""

from __future__ import annotations

from dataclasses import dataclass

from interbert.utils.terminal import say


@dataclass
class Options:
    """Options of ``interbert keys list``."""

    state: str | None = None
    """Folder of the service's state."""
    database: str | None = None
    """URL of the service's database, in place of the folder."""


def run(options: Options) -> None:
    """Print the table."""
    from datetime import UTC, datetime

    from rich.box import SIMPLE

    from interbert.cli.service_state import opened_state
    from interbert.cli.tables import TextTable, print_table

    with opened_state(options.state, options.database) as state:
        keys, where = state.keys.list(), state.name
    say(f"{where}: {len(keys)} keys")
    table = TextTable(box=SIMPLE, padding=(0, 1, 0, 0))
    for header in ("id", "name", "rights", "indexes", "a minute", "made", "expires", ""):
        table.add_column(header)
    for key in keys:
        expired = key.expires_at is not None and key.expires_at <= datetime.now(UTC)
        table.add_row(
            key.id,
            key.name,
            ", ".join(sorted(key.rights)),
            "all" if key.indexes is None else ", ".join(sorted(key.indexes)),
            "" if key.rate_per_minute is None else str(key.rate_per_minute),
            f"{key.created_at:%Y-%m-%d}",
            "never" if key.expires_at is None else f"{key.expires_at:%Y-%m-%d %H:%M}",
            "revoked" if key.revoked_at else "expired" if expired else "",
        )
    print_table(table, 108)
