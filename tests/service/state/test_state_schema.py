"""Opening a database: its migrations, and every database that cannot be used."""

from __future__ import annotations

import stat
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Connection, create_engine, inspect, text

from interbert.errors import InterBertError, MissingExtraError, StorageError, UsageError
from interbert.service.state import State, database_url
from interbert.service.state import schema as schema_module
from interbert.service.state.models import Base
from interbert.service.state.schema import VERSION_TABLE


def test_an_empty_database_gets_all_tables_and_keeps_them(url: str, open_state: Callable[[], State]) -> None:
    key, _ = open_state().keys.create("a", ["search"])
    assert [one.id for one in open_state().keys.list()] == [key.id]
    engine = create_engine(url)
    assert set(inspect(engine).get_table_names()) == {*Base.metadata.tables, VERSION_TABLE}
    engine.dispose()


def test_the_migrations_make_what_the_models_are(url: str, state: State) -> None:
    engine = create_engine(url)
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"version_table": VERSION_TABLE, "compare_type": True})
        assert compare_metadata(context, Base.metadata) == []
    engine.dispose()


def test_a_migration_that_fails_leaves_nothing(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(config: object, revision: str) -> None:
        upgrade(config, revision)
        raise OSError(28, "No space left on device")

    upgrade = schema_module.command.upgrade
    monkeypatch.setattr(schema_module.command, "upgrade", fail)
    with pytest.raises(StorageError, match="the disk is full"):
        State.open(url)
    engine = create_engine(url)
    assert inspect(engine).get_table_names() == []
    engine.dispose()


def test_a_database_of_a_later_version_is_not_touched(url: str, state: State) -> None:
    state.close()
    engine = create_engine(url)
    with engine.begin() as connection:
        connection.execute(text(f"UPDATE {VERSION_TABLE} SET version_num = '9999'"))
    with pytest.raises(UsageError, match=r"written by a later version of interbert .*'9999'.*Update interbert"):
        State.open(url)
    engine.dispose()


def test_writes_of_the_version_before_are_finished_by_it(url: str, state: State) -> None:
    task = state.tasks.create("products.write", "shop", [b"x"], 1)
    state.close()
    engine = create_engine(url)
    with engine.begin() as connection:  # as the version before left it
        for table in ("leases", "replicas", "secrets", "task_lines"):
            connection.execute(text(f"DROP TABLE {table}"))
        for column in ("variant", "took_ms"):
            connection.execute(text(f"ALTER TABLE queries DROP COLUMN {column}"))
        connection.execute(text("ALTER TABLE tasks ADD COLUMN payload TEXT"))
        connection.execute(text(f"UPDATE {VERSION_TABLE} SET version_num = '0001'"))
    with pytest.raises(UsageError, match=r"has writes that are not finished\. Let the version before finish them"):
        State.open(url)
    assert "task_lines" not in inspect(engine).get_table_names()
    with engine.begin() as connection:
        connection.execute(text("UPDATE tasks SET state = 'succeeded', finished_at = created_at"))
    engine.dispose()
    opened = State.open(url)
    assert opened.tasks.get(task.id).state == "succeeded"
    opened.close()


def test_a_database_of_something_else_is_not_touched(url: str, folder: Path) -> None:
    folder.mkdir()
    engine = create_engine(url)
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE orders (id INTEGER PRIMARY KEY)"))
    with pytest.raises(UsageError, match="holds tables of something else"):
        State.open(url)
    assert inspect(engine).get_table_names() == ["orders"]
    engine.dispose()


_START = """
import sys
from interbert.service.state import State
print("ready", flush=True)
sys.stdin.readline()
State.open(sys.argv[1]).ping()
"""


def test_several_starts_at_once_make_one_database(url: str) -> None:
    pipes = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
    started = [subprocess.Popen([sys.executable, "-c", _START, url], text=True, **pipes) for _ in range(2)]
    for process in started:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    with ThreadPoolExecutor(6) as pool:
        ended = [pool.submit(process.communicate, "go\n", 120) for process in started]
        for state in pool.map(State.open, [url] * 4):
            state.ping()
            state.close()
    assert [(one.result()[1], process.returncode) for one, process in zip(ended, started, strict=True)] == [("", 0)] * 2


def test_tables_that_another_start_made_at_that_moment_are_taken(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def raced(connection: Connection, name: str) -> None:
        upgrade(connection, name)
        if len(tried) < 2:
            tried.append(name)
            connection.execute(text("CREATE TABLE api_keys (id INTEGER)"))

    tried: list[str] = []
    upgrade = schema_module._upgrade
    monkeypatch.setattr(schema_module, "_upgrade", raced)
    if url.startswith("sqlite"):  # where it is no ProgrammingError, for there the transactions wait for each other
        with pytest.raises(UsageError, match="table api_keys already exists"):
            State.open(url)
    else:
        State.open(url).close()
        assert len(tried) == 2


def test_the_file_is_its_owners_alone(folder: Path) -> None:
    state = State.open(database_url(folder, None))
    state.ping()
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()}
    assert "interbert.db" in modes
    assert set(modes.values()) == {0o600}
    state.close()


def test_writes_are_on_the_disk_when_they_return(folder: Path) -> None:
    state = State.open(database_url(folder, None))
    with state._database.engine.connect() as connection:
        found = {name: connection.exec_driver_sql(f"PRAGMA {name}").scalar() for name in PRAGMAS}
    assert found == PRAGMAS
    state.close()


PRAGMAS = {"journal_mode": "wal", "synchronous": 2, "foreign_keys": 1, "busy_timeout": 20_000, "secure_delete": 1}


def _refused(url: object, create: bool = True) -> str:
    with pytest.raises(InterBertError) as caught:
        State.open(url, create)  # type: ignore[arg-type]
    message = str(caught.value)
    assert "\n" not in message
    assert "geheim" not in message
    return message


@pytest.mark.parametrize("content", [b"no database" * 500, b"SQLite format 3\0" + b"\xff" * 5000], ids=["text", "torn"])
def test_a_damaged_file_is_named(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "interbert.db"
    file.write_bytes(content)
    said = _refused(database_url(tmp_path, None))
    assert said.startswith(f"{file}: ")
    assert "Restore it from a copy, or name another" in said
    assert file.read_bytes() == content


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("postgresql://shop:geheim@127.0.0.1:1/shop", "postgresql+psycopg://127.0.0.1:1/shop: cannot be reached"),
        ("shop:geheim", "is no URL of a database"),
        ("nosuch://shop:geheim@host/x", "there is no dialect 'nosuch'"),
        ("sqlite://", "in memory keeps nothing"),
        ("sqlite:///:memory:", "in memory keeps nothing"),
    ],
)
def test_what_cannot_be_opened_is_said_without_its_password(url: str, said: str) -> None:
    assert said in _refused(url)


def test_a_driver_that_is_not_installed_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "psycopg", None)
    with pytest.raises(MissingExtraError, match=r"psycopg is not installed.*interbert\[postgres\]"):
        State.open("postgresql://host/shop")


def test_places_that_are_not_there_are_named(tmp_path: Path) -> None:
    gone = tmp_path / "a" / "b"
    assert _refused(database_url(gone, None)).startswith(f"{gone}: its folder does not exist")
    assert "there is no such database" in _refused(database_url(tmp_path, None), create=False)
    assert not list(tmp_path.iterdir())
    (tmp_path / "interbert.db").mkdir()
    assert "is a folder" in _refused(database_url(tmp_path, None))
    file = tmp_path / "file"
    file.touch()
    assert str(file) in _refused(database_url(file, None))


@pytest.mark.parametrize("name", ["100%", "a?b#c", "mit Leerzeichen", "目录"])
def test_a_folder_may_have_any_name(tmp_path: Path, name: str) -> None:
    State.open(database_url(tmp_path / name, None)).close()
    assert [path.name for path in (tmp_path / name).iterdir()] == ["interbert.db"]


@pytest.mark.parametrize(("state", "database"), [(None, None), ("a", "sqlite:///b")])
def test_one_place_is_named(state: str | None, database: str | None) -> None:
    with pytest.raises(UsageError, match=r"--state DIR, or --database URL, and not both"):
        database_url(state, database)
