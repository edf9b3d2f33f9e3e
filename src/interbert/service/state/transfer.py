"""All rows of a database as JSON lines, a file a table, and back: into SQLite or PostgreSQL, whichever they came from.

One transaction reads all of them, so they belong together; one writes them, all or none.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from itertools import islice
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, LargeBinary, Table, func, insert, select, text
from sqlalchemy.exc import SQLAlchemyError

from interbert.errors import DataError, UsageError
from interbert.service.state.column_types import UtcDateTime, now
from interbert.service.state.database import Database
from interbert.service.state.failures import at_open
from interbert.service.state.models import Base, TaskModel

PERSONAL = ("queries", "events")
"""Tables of what shoppers searched for and did."""
_BATCH = 500
"""Rows that are held in memory together; of tables whose rows may have MiB, one."""

_OF_PROCESSES = ("leases", "replicas", "secrets")
"""Tables of the processes that run now; others make their own."""


def _batch(table: Table) -> int:
    return 1 if any(isinstance(column.type, LargeBinary) for column in table.columns) else _BATCH


def _tables() -> list[Table]:
    return [table for table in Base.metadata.sorted_tables if table.name not in _OF_PROCESSES]


def write_tables(database: Database, folder: Path, personal: bool) -> dict[str, int]:
    """Write every table; returns rows by table.

    Args:
        database: open.
        folder: gets the files.
        personal: :data:`PERSONAL` tables, too.

    Raises:
        UsageError: the database cannot be read.
    """
    counts: dict[str, int] = {}
    try:
        with database.begin_reading() as connection:
            for table in _tables():
                if personal or table.name not in PERSONAL:
                    with (folder / f"{table.name}.jsonl").open("x", encoding="utf-8") as file:
                        counts[table.name] = 0
                        rows = connection.execute(select(table).execution_options(yield_per=_batch(table)))
                        for row in rows.mappings():
                            file.write(json.dumps(_told(table, row), ensure_ascii=True) + "\n")
                            counts[table.name] += 1
    except SQLAlchemyError as error:
        raise at_open(database.name, error) from error
    return counts


def _told(table: Table, row: Mapping[Any, Any]) -> dict[str, Any]:
    """A row as JSON."""
    values = {name: _as_json(one) for name, one in row.items()}
    unfinished = table.name == TaskModel.__tablename__ and row["finished_at"] is None
    if unfinished and not row["kind"].startswith("products."):  # a process of this machine that is not copied
        values |= {"state": "failed", "finished_at": now().isoformat()}
    return values


def _as_json(value: Any) -> Any:
    if isinstance(value, bytes):
        return base64.b64encode(value).decode("ascii")
    return value.isoformat() if isinstance(value, datetime) else value


def require_empty(database: Database) -> None:
    """Check that a database holds nothing.

    Raises:
        UsageError: it does; the message names a table.
    """
    try:
        with database.begin_reading() as connection:
            _require_empty(connection, database.name)
    except SQLAlchemyError as error:
        raise at_open(database.name, error) from error


def _require_empty(connection: Connection, name: str) -> None:
    for table in _tables():
        count = connection.scalar(select(func.count()).select_from(table)) or 0
        if count:
            raise UsageError(
                f"{name}: holds {count} rows of {table.name}, which are not overwritten. Name an empty database, or "
                "another --state."
            )


def read_tables(database: Database, folder: Path) -> None:
    """Put rows of :func:`write_tables` into an empty database, in one transaction.

    Raises:
        UsageError: the database holds something, or cannot be written.
        DataError: a row fits no table.
    """
    try:
        with database.begin_writing() as connection:
            _require_empty(connection, database.name)
            for table in _tables():
                file = folder / f"{table.name}.jsonl"
                if file.is_file():
                    rows = _rows(table, file)
                    while some := list(islice(rows, _batch(table))):
                        connection.execute(insert(table), some)
                    _count_on(connection, table)
    except SQLAlchemyError as error:
        raise at_open(database.name, error) from error


def _rows(table: Table, file: Path) -> Iterator[dict[str, Any]]:
    read: dict[str, Callable[[str], Any]] = {
        column.name: datetime.fromisoformat if isinstance(column.type, UtcDateTime) else base64.b64decode
        for column in table.columns
        if isinstance(column.type, UtcDateTime | LargeBinary)
    }
    names = [column.name for column in table.columns]
    with file.open(encoding="utf-8") as lines:
        for number, line in enumerate(lines, 1):
            try:
                row = json.loads(line)
                values = {name: row.get(name) for name in names}  # a column that came later is null
                yield {
                    name: read[name](one) if name in read and one is not None else one for name, one in values.items()
                }
            except (ValueError, TypeError, AttributeError) as error:
                raise DataError(
                    f"{file.name}, line {number}: is no row of a snapshot. Nothing was restored."
                ) from error


def _count_on(connection: Connection, table: Table) -> None:
    """PostgreSQL counts up numbers apart from rows: the next is to come after those that were given. SQLite looks."""
    if connection.dialect.name == "postgresql" and "number" in table.columns:
        words = f"SELECT setval(pg_get_serial_sequence('{table.name}', 'number'), max(number)) FROM {table.name}"
        connection.execute(text(f"{words} HAVING max(number) IS NOT NULL"))
