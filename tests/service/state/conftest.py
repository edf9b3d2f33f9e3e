"""States in SQLite and, where INTERBERT_TEST_POSTGRES holds the URL of a server, in PostgreSQL."""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from sqlalchemy import URL, NullPool, create_engine, make_url, text

from interbert.service.state import State, database_url

POSTGRES = os.environ.get("INTERBERT_TEST_POSTGRES")


@pytest.fixture(params=["sqlite", "postgresql"] if POSTGRES else ["sqlite"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """Of an empty database, with its password."""
    if request.param == "sqlite":
        yield str(database_url(tmp_path / "service", None))
        return
    server = make_url(POSTGRES or "").set(drivername="postgresql+psycopg")
    schema = f"test_{secrets.token_hex(8)}"
    _execute(server, f"CREATE SCHEMA {schema}")
    yield server.update_query_dict({"options": f"-csearch_path={schema}"}).render_as_string(hide_password=False)
    _execute(server, f"DROP SCHEMA {schema} CASCADE")


def _execute(server: URL, words: str) -> None:
    with create_engine(server, isolation_level="AUTOCOMMIT", poolclass=NullPool).connect() as connection:
        connection.execute(text(words))


@pytest.fixture
def open_state(url: str) -> Iterator[Callable[[], State]]:
    """Opens the database again, as another start of the service; all are closed at the end."""
    opened: list[State] = []

    def open_it() -> State:
        opened.append(State.open(url))
        return opened[-1]

    yield open_it
    for state in opened:
        state.close()


@pytest.fixture
def state(open_state: Callable[[], State]) -> State:
    """An empty one."""
    return open_state()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Folder of a SQLite state that is not there yet."""
    return tmp_path / "service"
