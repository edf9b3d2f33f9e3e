"""Types of columns that mean the same in every database."""

from __future__ import annotations

from datetime import UTC, datetime

from sqlalchemy import DateTime, Dialect, Text
from sqlalchemy.types import TypeDecorator

from interbert.errors import shortened
from interbert.service.errors import ServiceError

MOST_CHARACTERS_OF_ID = 300
"""PostgreSQL's indexes take entries of 2,704 bytes: two of these, of 4 bytes a character."""


class UtcDateTime(TypeDecorator[datetime]):
    """A moment, in UTC. SQLite has no zones: it keeps the time of UTC. A time without a zone counts as UTC."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """What is written."""
        return None if value is None else _utc(value)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """What was read."""
        return None if value is None else _utc(value)


def _utc(value: datetime) -> datetime:
    return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


def now() -> datetime:
    """This moment, in UTC."""
    return datetime.now(UTC)


class SafeText(TypeDecorator[str]):
    """Text that every database can keep: PostgreSQL has no NUL, and UTF-8 no halves of characters."""

    impl = Text
    cache_ok = True

    def __init__(self, most: int | None = None) -> None:
        """Of so many characters at most; None: of any number."""
        super().__init__()
        self.most = most

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:
        """The value as it is.

        Raises:
            ServiceError: ``invalid``, it has a character that cannot be kept, or too many.
        """
        if value is not None and ("\0" in value or not _is_utf8(value)):
            shown = value[:40].encode("ascii", "backslashreplace").decode()
            raise ServiceError("invalid", f"{shown!r} has a NUL or half a character, which cannot be kept. Remove it.")
        if value is not None and self.most is not None and len(value) > self.most:
            raise ServiceError(
                "invalid", f"{shortened(value)!r} has {len(value):,} characters; an id has {self.most} at most."
            )
        return value


def _is_utf8(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
