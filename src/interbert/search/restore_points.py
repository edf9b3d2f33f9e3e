"""Versions of an index that are kept to go back to: each is a tag of its LanceDB table, which no clean-up removes.

Every command that changes an index ends with a restore point. Kept are the newest ones, and those that were searched at
each of the last full hours and midnights: what was searched yesterday is there, however often products changed since.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from interbert.errors import require_range
from interbert.search.manifest import TABLE

READERS = timedelta(hours=1)
"""Versions that are no restore points stay so long, for readers that are at work on them."""
_NEWEST, _HOURS = 20, 24
"""Restore points that are kept of a table, however close together they are, and full hours that have one."""
_NAME = re.compile(r"(\d{1,18})-([a-z]+)-(\d{8}T\d{6}Z)")
_TIME = "%Y%m%dT%H%M%SZ"
"""A tag's name says what a clean-up needs: versions themselves are a file each, hundreds in a busy hour."""
_KEYS = {"days": "interbert.keep_days", "builds": "interbert.keep_builds"}


@dataclass(frozen=True)
class Retention:
    """How long an index keeps what it was."""

    days: int = 7
    """Days that restore points are kept; 0: none, what changed is gone after an hour."""
    builds: int = 2
    """Complete builds that are kept with their models, the one that is searched among them; 2 at least."""

    def check(self) -> Retention:
        """Return self when both are possible.

        Raises:
            ConfigError: one is not.
        """
        require_range("index rollback: --keep-days", self.days, 0, 3651)
        require_range("index rollback: --keep-builds", self.builds, 2, 1001)
        return self


@dataclass(frozen=True)
class RestorePoint:
    """A version of a table that is kept."""

    number: int
    at: datetime
    """When it began to be searched."""
    made_by: str
    """``build``, ``change`` or ``rollback``."""


def read_retention(database: Any) -> Retention:
    """What an index keeps: the defaults until it was told otherwise."""
    kept = database.open_table(TABLE).to_lance().config()
    return Retention(**{name: int(kept[key]) for name, key in _KEYS.items() if str(kept.get(key, "")).isdecimal()})


def write_retention(database: Any, retention: Retention) -> None:
    """Keep so much from the next change on, in one commit."""
    values = {key: str(getattr(retention, name)) for name, key in _KEYS.items()}
    database.open_table(TABLE).to_lance().update_config(values)


def restore_points(table: Any) -> list[RestorePoint]:
    """Those of a table, oldest first."""
    return sorted(_tagged(table).values(), key=lambda one: one.number)


def head_point(table: Any) -> RestorePoint:
    """The newest version of a table that was last written by an interbert without restore points."""
    last = max(table.list_versions(), key=lambda one: int(one["version"]))
    at: datetime = last["timestamp"]  # the machine's local time, without its zone
    return RestorePoint(int(last["version"]), at.astimezone(UTC), "change")


def add_restore_point(table: Any, made_by: str, at: datetime | None = None) -> None:
    """Keep a table as it is now, searched from a moment on (now when not given); nothing when it is kept already."""
    number = int(table.version)
    if all(one.number != number for one in _tagged(table).values()):
        table.tags.create(f"{number}-{made_by}-{(at or datetime.now(UTC)).strftime(_TIME)}", number)


def clean_up(table: Any, days: int, readers: timedelta = READERS, now: datetime | None = None) -> None:
    """Remove what is neither kept nor read any more.

    Args:
        table: of a build.
        days: that restore points are kept.
        readers: may be at work on versions that are no older.
        now: this moment when not given.
    """
    stay = kept_points(restore_points(table), days, now or datetime.now(UTC))
    for name, one in _tagged(table).items():
        if one not in stay:
            table.tags.delete(name)
    table.to_lance().cleanup_old_versions(readers, error_if_tagged_old_versions=False)


def kept_points(points: Sequence[RestorePoint], days: int, now: datetime) -> list[RestorePoint]:
    """Those of a table's restore points, oldest first, that stay.

    A point was searched until the next one was made, so it is that moment that ages: an index that was changed for the
    first time in months keeps what it was before.
    """
    ends = {one.number: after.at for one, after in itertools.pairwise(points)}
    recent = [one for one in points if days and ends.get(one.number, now) > now - timedelta(days=days)]
    hour, midnight = now.replace(minute=0, second=0, microsecond=0), now.replace(hour=0, minute=0, second=0)
    moments = [hour - timedelta(hours=back) for back in range(_HOURS)]
    moments += [midnight - timedelta(days=back) for back in range(days)]
    searched = {max((one.number for one in recent if one.at <= moment), default=-1) for moment in moments}
    return [one for one in recent if one.number in searched or one in recent[-_NEWEST:]]


def _tagged(table: Any) -> dict[str, RestorePoint]:
    """Restore points by the names of their tags."""
    found = {}
    for name, tag in table.tags.list().items():
        said = _NAME.fullmatch(name)
        if said is not None:
            at = datetime.strptime(said[3], _TIME).replace(tzinfo=UTC)
            found[name] = RestorePoint(int(tag["version"]), at, said[2])
    return found
