"""What the verbs of keys and events share: the service's state, open for one command."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from interbert.errors import MissingExtraError, StorageError, UsageError

if TYPE_CHECKING:
    from interbert.service.state import State


@contextmanager
def opened_state(state: str | None, database: str | None, create: bool = False) -> Iterator[State]:
    """The state of ``--state DIR`` or ``--database URL`` for a block, whose errors become one line.

    Args:
        state: folder.
        database: URL.
        create: make a file that is not there.

    Raises:
        UsageError: none of both is named, it cannot be opened, or what the block asked for is not there.
        StorageError: it cannot be written.
        MissingExtraError: a package is not installed.
    """
    try:
        from interbert.service.errors import ServiceError
        from interbert.service.state import State, database_url
    except ModuleNotFoundError as error:
        raise MissingExtraError.of(str(error.name), "serve") from error
    opened = State.open(database_url(state, database), create)
    try:
        yield opened
    except ServiceError as error:
        raise (StorageError if error.code == "storage_full" else UsageError)(error.message) from error
    finally:
        opened.close()
