"""Brings a database to the tables of this version, by the migrations beside this file."""

from __future__ import annotations

import threading
import time
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, inspect
from sqlalchemy.exc import IntegrityError, OperationalError, ProgrammingError, SQLAlchemyError

from interbert.errors import UsageError
from interbert.service.state.database import Database
from interbert.service.state.failures import at_open, is_locked

VERSION_TABLE = "interbert_version"
"""Holds the last migration. Alembic's usual name may be another program's."""
_ATTEMPTS = 20
_ONE_AT_A_TIME = threading.Lock()
"""Alembic keeps the migration that runs in a global variable."""


def bring_up_to_date(database: Database) -> None:
    """Run the migrations that are missing, all or none.

    Raises:
        UsageError: it holds something else, is of a later version, damaged or not to be reached.
        StorageError: it cannot be written.
    """
    for attempt in range(_ATTEMPTS):
        try:
            with _ONE_AT_A_TIME, database.begin_writing() as connection:
                _upgrade(connection, database.name)
            database.keep_log_ahead()
            return
        except (SQLAlchemyError, OSError) as error:
            # another process makes the same tables at this moment: what it made is found next time
            raced = isinstance(error, ProgrammingError | IntegrityError | OperationalError)
            if attempt + 1 < _ATTEMPTS and raced and (is_locked(error) or not isinstance(error, OperationalError)):
                time.sleep(0.05)
                continue
            raise at_open(database.name, error) from error


def revisions() -> list[str]:
    """Migrations of this version, newest first."""
    return [one.revision for one in ScriptDirectory.from_config(_config()).walk_revisions()]


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations").replace("%", "%%"))
    return config


def _upgrade(connection: Connection, name: str) -> None:
    config = _config()
    script = ScriptDirectory.from_config(config)
    context = MigrationContext.configure(connection, opts={"version_table": VERSION_TABLE})
    # tables first: another start may commit in between, and its tables without their version would be something else
    tables = inspect(connection).get_table_names()
    current = context.get_current_revision()
    if current == script.get_current_head():
        return
    if current is None and tables:
        raise UsageError(f"{name}: holds tables of something else. Name another database, or make an empty one.")
    if current is not None and current not in {one.revision for one in script.walk_revisions()}:
        raise UsageError(
            f"{name}: was written by a later version of interbert (its tables are {current[:40]!r}). Update interbert, "
            "or name another database."
        )
    config.attributes["connection"] = connection
    command.upgrade(config, "head")
