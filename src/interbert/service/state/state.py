"""Everything that the service remembers apart from products: keys, tasks, topics, events, the audit log."""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import URL, select
from sqlalchemy.orm import Session

from interbert.errors import UsageError
from interbert.service.state.audit import AuditStore
from interbert.service.state.database import Database
from interbert.service.state.events import EventStore
from interbert.service.state.idempotency import IdempotencyStore
from interbert.service.state.keys import KeyStore
from interbert.service.state.models import KeyModel
from interbert.service.state.replicas import ReplicaStore
from interbert.service.state.schema import bring_up_to_date, revisions
from interbert.service.state.shared_secrets import SecretStore
from interbert.service.state.tasks import TaskStore
from interbert.service.state.topics import TopicStore
from interbert.service.state.transfer import read_tables, require_empty, write_tables

FILE_NAME = "interbert.db"


def database_url(state: str | Path | None, database: str | None) -> str | URL:
    """The URL of ``--database``, or of the SQLite file in the folder ``--state``.

    Raises:
        UsageError: none is given, or both.
    """
    if (state is None) == (database is None):
        raise UsageError("name the place of the service's state: --state DIR, or --database URL, and not both.")
    if database is not None:
        return database
    return URL.create("sqlite", database=str((Path(state or "") / FILE_NAME).absolute()))


class State:
    """An open database. Methods of its stores block, may be called from any thread, and are one transaction each.

    Raises of every method of a store: ServiceError ``state_unavailable`` (the next call connects anew),
    ``storage_full`` or ``invalid`` (a value that no database can keep); nothing is changed then.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self.name = database.name
        """For messages: a file, or a URL without user and password."""
        self.keys = KeyStore(database)
        self.tasks = TaskStore(database)
        self.replicas = ReplicaStore(database)
        self.secrets = SecretStore(database)
        self.idempotency = IdempotencyStore(database, self.replicas)
        self.audit = AuditStore(database)
        self.topics = TopicStore(database)
        self.events = EventStore(database)

    @classmethod
    def open(cls, url: str | URL, create: bool = True) -> State:
        """Open a database, and bring its tables to this version.

        Args:
            url: as SQLAlchemy has them: ``sqlite:////srv/shop/interbert.db``, ``postgresql://user:pw@host/interbert``.
            create: make a SQLite file, and its folder, that is not there.

        Raises:
            UsageError: it is no URL, holds something else, is of a later version, damaged or not to be reached.
            StorageError: it cannot be written.
            MissingExtraError: its driver is not installed.
        """
        database = Database(url, create)
        try:
            bring_up_to_date(database)
        except BaseException:
            database.close()
            raise
        return cls(database)

    def ping(self) -> None:
        """Ask the database for something.

        Raises:
            ServiceError: ``state_unavailable``.
        """

        def ask(session: Session) -> None:
            session.execute(select(KeyModel.id).limit(1))

        self._database.run(ask, writes=False)

    @property
    def known_schemas(self) -> list[str]:
        """Migrations of this version, newest first."""
        return revisions()

    @property
    def schema(self) -> str:
        """The last of them, to which the database was brought when it was opened."""
        return self.known_schemas[0]

    def write_tables(self, folder: Path, personal: bool) -> dict[str, int]:
        """As :func:`interbert.service.state.transfer.write_tables`."""
        return write_tables(self._database, folder, personal)

    def require_empty(self) -> None:
        """As :func:`interbert.service.state.transfer.require_empty`."""
        require_empty(self._database)

    def read_tables(self, folder: Path) -> None:
        """As :func:`interbert.service.state.transfer.read_tables`."""
        read_tables(self._database, folder)

    def close(self) -> None:
        """Leave the replicas of this database and close all connections."""
        self.replicas.stop()
        self._database.close()
