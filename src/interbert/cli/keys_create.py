"""Make a key to the HTTP service, and print its secret: once, for it is kept nowhere.

Who calls the service sends the secret with every request: `Authorization: Bearer SECRET` or `X-API-Key: SECRET`. The
database has its hash alone: a secret that is lost is replaced by another key. The last line printed is the secret.

    interbert keys create "shop front" --state service
    interbert keys create "catalogue feed" --rights search,write --indexes fashion --days 90 --state service
    interbert keys create operations --rights admin --database postgresql://user@host/interbert

Rights: search (read products and topics), write (change them), admin (keys' use, events, the audit log). A running
service knows the key at once. From the first key on, it answers nobody without one.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from interbert.utils.terminal import say


@dataclass
class Options:
    """Options of ``interbert keys create``."""

    name: str
    """Who gets it, for people."""
    state: str | None = None
    """Folder of the service's state; it is made."""
    database: str | None = None
    """URL of the service's database, in place of the folder."""
    rights: list[str] = field(default_factory=lambda: ["search"])
    """What it allows: search, write, admin."""
    indexes: list[str] = field(default_factory=list)
    """Names of the indexes that it may use; all when not given."""
    days: float | None = None
    """Days until it expires; never when not given."""
    rate: int | None = None
    """Requests of a minute; no rate of its own when not given."""


def run(options: Options) -> None:
    """Make and print it."""
    from datetime import UTC, datetime, timedelta
    from typing import cast

    from interbert.cli.service_state import opened_state
    from interbert.errors import require_range
    from interbert.service.state.records import Right

    require_range("keys create: --days", options.days, 0, 36_525)
    expires = None if options.days is None else datetime.now(UTC) + timedelta(days=options.days)
    with opened_state(options.state, options.database, create=True) as state:
        key, secret = state.keys.create(
            options.name, cast(list[Right], options.rights), options.indexes or None, expires, options.rate
        )
        places = ", ".join(sorted(key.indexes)) if key.indexes is not None else "all indexes"
        until = "never" if key.expires_at is None else f"{key.expires_at:%Y-%m-%d %H:%M} UTC"
        say(f"{state.name}: key {key.id} ({key.name}): {', '.join(sorted(key.rights))}; {places}; expires: {until}")
        say(f"its secret, shown this once; to revoke it: interbert keys revoke {key.id}")
        say(secret)
