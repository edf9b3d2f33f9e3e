"""One database: its connections, transactions and errors. The stores beside this file are made of :class:`Store`.

SQLite and PostgreSQL take the same statements. What differs stands in this file: how a connection is made.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import wraps
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, TypeVar
from urllib.parse import quote

from sqlalchemy import URL, Connection, CursorResult, Delete, Engine, Update, create_engine, event, make_url
from sqlalchemy.exc import ArgumentError, DisconnectionError, NoSuchModuleError, SQLAlchemyError
from sqlalchemy.orm import Session, sessionmaker

from interbert.errors import MissingExtraError, UsageError, shortened
from interbert.errors import writing as writing_file
from interbert.service.state.failures import at_open, at_run, is_worth_retrying

_ATTEMPTS = 5
_BUSY_MS = 20_000
"""Milliseconds that SQLite waits for another process that writes."""
_BEGIN = "interbert_begin"
"""Option of a connection: how SQLite begins a transaction; empty: none is begun."""

P = ParamSpec("P")
R = TypeVar("R")
S = TypeVar("S", bound="Store")


class Database:
    """Connections to a database, which are made when needed and again when they are lost.

    Attributes:
        name: of the database for messages: a file, or a URL without user and password.
    """

    def __init__(self, url: str | URL, create: bool) -> None:
        """Prepare it; a SQLite file is made here, which its owner alone may read.

        Raises:
            UsageError: the URL is wrong, or there is no such file and it is not to be made.
            MissingExtraError: there is no driver.
            StorageError: the file cannot be made.
        """
        parsed = _parsed(url)
        options: dict[str, Any] = {}
        self.file: Path | None = None
        if parsed.get_backend_name() == "sqlite":
            self.file = _sqlite_file(parsed, create)
            address = {**parsed.query, "mode": "rw", "uri": "true"}  # rw: a file that went away is not made anew, empty
            parsed = parsed.set(database=f"file:{quote(str(self.file))}", query=address)
        elif parsed.get_backend_name() == "postgresql" and "connect_timeout" not in parsed.query:
            options["connect_args"] = {"connect_timeout": 10}
        self.name = str(self.file or parsed.set(username=None, password=None, query={}).render_as_string())
        try:
            # as many connections as there are threads of routes; a few stay open
            self.engine: Engine = create_engine(
                parsed, pool_pre_ping=True, pool_size=5, max_overflow=40, pool_timeout=15, **options
            )
        except ModuleNotFoundError as error:
            raise _missing_driver(parsed, error) from error
        except (SQLAlchemyError, ValueError, TypeError) as error:
            raise at_open(self.name, error) from error
        if self.file is not None:
            _prepare_sqlite(self.engine, self.file)
        self._reading = sessionmaker(self.engine)
        self._writing = sessionmaker(self._with_begin("BEGIN IMMEDIATE"))

    def run(self, work: Callable[[Session], R], writes: bool) -> R:
        """Run a function in one transaction: all of what it does is kept, or nothing.

        Raises:
            ServiceError: of ``work`` itself; or ``state_unavailable``, ``storage_full``, ``invalid``, ``conflict``.
        """
        for attempt in range(_ATTEMPTS):
            try:
                with (self._writing if writes else self._reading).begin() as session:
                    return work(session)
            except (SQLAlchemyError, OverflowError) as error:
                if attempt + 1 == _ATTEMPTS or not is_worth_retrying(error):
                    raise at_run(self.name, error) from error
                time.sleep(0.01 * 2**attempt)
        raise AssertionError

    def forget_deleted(self) -> None:
        """Take what was deleted out of SQLite's log of writes too, where it else stays until the log is full.

        It waits for transactions that read; after 20 seconds it leaves the log as it is, to be overwritten later.

        Raises:
            ServiceError: as :meth:`run`.
        """
        if self.file is None:
            return
        try:
            self._pragma("wal_checkpoint(TRUNCATE)")
        except SQLAlchemyError as error:
            raise at_run(self.name, error) from error

    def keep_log_ahead(self) -> None:
        """SQLite: readers go on while something is written. The file remembers it."""
        if self.file is not None:
            self._pragma("journal_mode=WAL")

    def _pragma(self, words: str) -> None:
        with self._with_begin("").connect() as connection:
            connection.exec_driver_sql(f"PRAGMA {words}").close()

    def _with_begin(self, words: str) -> Engine:
        return self.engine.execution_options(**{_BEGIN: words})

    def begin_reading(self) -> AbstractContextManager[Connection]:
        """A connection in a transaction that sees one state of all tables."""
        if self.file is not None:
            return self.engine.begin()
        return self.engine.execution_options(isolation_level="REPEATABLE READ").begin()

    def begin_writing(self) -> AbstractContextManager[Connection]:
        """A connection in a transaction that writes, for migrations."""
        return self._with_begin("BEGIN IMMEDIATE").begin()

    def close(self) -> None:
        """Close all connections."""
        self.engine.dispose()


class Store:
    """Base of the stores: their methods marked :func:`reading` and :func:`writing` are one transaction each."""

    def __init__(self, database: Database) -> None:
        self.database = database


def reading(method: Callable[Concatenate[S, Session, P], R]) -> Callable[Concatenate[S, P], R]:
    """A method in one transaction that reads; its caller gives no session."""
    return _in_transaction(method, writes=False)


def writing(method: Callable[Concatenate[S, Session, P], R]) -> Callable[Concatenate[S, P], R]:
    """A method in one transaction, all or nothing, that is run again when another wrote the same row at that moment."""
    return _in_transaction(method, writes=True)


def _in_transaction(method: Callable[Concatenate[S, Session, P], R], writes: bool) -> Callable[Concatenate[S, P], R]:
    @wraps(method)
    def call(self: S, /, *args: P.args, **kwargs: P.kwargs) -> R:
        return self.database.run(lambda session: method(self, session, *args, **kwargs), writes)

    return call


def changed(session: Session, statement: Update | Delete) -> int:
    """Run it; returns how many rows it changed or deleted."""
    result = session.execute(statement)
    assert isinstance(result, CursorResult)
    return result.rowcount


def _parsed(url: str | URL) -> URL:
    try:
        parsed = make_url(url)
        if parsed.drivername in ("postgresql", "postgres"):
            parsed = parsed.set(drivername="postgresql+psycopg")
        parsed.get_dialect()
    except NoSuchModuleError as error:
        raise UsageError(
            f"database: there is no dialect {parsed.drivername!r}. Use sqlite:///FILE or postgresql://HOST/NAME."
        ) from error
    except (ArgumentError, ValueError) as error:
        shown = shortened(str(url).partition(":")[0], 40)
        raise UsageError(
            f"database: what begins with {shown!r} is no URL of a database, as sqlite:////srv/shop/interbert.db or "
            "postgresql://user:password@host/interbert."
        ) from error
    except ModuleNotFoundError as error:
        raise _missing_driver(parsed, error) from error
    return parsed


def _missing_driver(url: URL, error: ModuleNotFoundError) -> UsageError | MissingExtraError:
    if error.name == "psycopg":
        return MissingExtraError.of("psycopg", "postgres")
    return UsageError(f"database: {url.drivername} needs the package {error.name}. Install it, or name another driver.")


def _sqlite_file(url: URL, create: bool) -> Path:
    if not url.database or url.database == ":memory:":
        raise UsageError("database: one in memory keeps nothing. Name a file: sqlite:////srv/shop/interbert.db")
    file = Path(url.database).absolute()
    if file.is_dir():
        raise UsageError(f"{file}: is a folder. Name a file, or give the folder as --state.")
    if not file.exists():
        if not create:
            raise UsageError(
                f"{file}: there is no such database. `interbert serve` and `interbert keys create` make it."
            )
        if not file.parent.parent.is_dir():
            raise UsageError(f"{file.parent}: its folder does not exist. Make it, or name another.")
        with writing_file(file):
            file.parent.mkdir(mode=0o700, exist_ok=True)
            os.close(os.open(file, os.O_CREAT | os.O_RDWR, 0o600))  # the log beside it gets the same permissions
    return file


def _prepare_sqlite(engine: Engine, file: Path) -> None:
    """Durable writes, foreign keys, deleted bytes overwritten; transactions that begin where SQLAlchemy begins them."""

    @event.listens_for(engine, "connect")
    def connected(connection: Any, record: Any) -> None:
        connection.isolation_level = None  # sqlite3 would begin transactions by itself, and only before a write
        for words in (f"busy_timeout={_BUSY_MS}", "synchronous=FULL", "foreign_keys=ON", "secure_delete=ON"):
            connection.execute(f"PRAGMA {words}")
        record.info["file"] = _identity(file)

    @event.listens_for(engine, "checkout")
    def checked_out(connection: Any, record: Any, proxy: Any) -> None:
        if record.info.get("file") != _identity(file):  # removed or replaced: writes would go into nothing
            raise DisconnectionError(f"{file} is not the file that was opened")

    @event.listens_for(engine, "begin")
    def begun(connection: Connection) -> None:
        # a transaction that reads first and writes then fails when another wrote in between: it has to wait first
        if words := connection.get_execution_options().get(_BEGIN, "BEGIN"):
            connection.exec_driver_sql(words)


def _identity(file: Path) -> tuple[int, int] | None:
    try:
        found = file.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino
