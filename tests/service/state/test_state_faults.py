"""What goes wrong while the service runs: a full disk, a database that goes away and returns, others who write."""

from __future__ import annotations

import resource
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest
from sqlalchemy import create_engine, event, text

from interbert.errors import StorageError
from interbert.service.errors import ServiceError
from interbert.service.state import Event, State, database_url


@contextmanager
def largest_file(bytes_of_file: int) -> Iterator[None]:
    """No file of this process grows beyond so many bytes, as on a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (bytes_of_file, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)


def refused(call: Callable[[], object]) -> ServiceError:
    with pytest.raises(ServiceError) as caught:
        call()
    assert "\n" not in caught.value.message
    return caught.value


@pytest.fixture
def file_state(folder: Path) -> Iterator[State]:
    state = State.open(database_url(folder, None))
    yield state
    state.close()


def test_a_full_disk_refuses_and_keeps_what_was_there(file_state: State, folder: Path) -> None:
    file_state.events.add([Event("click", "p")])
    with largest_file(64 * 1024):
        error = refused(lambda: file_state.events.add([Event("click", "p" * 300) for _ in range(2000)]))
        assert error.code == "storage_full"
        assert error.message.startswith(str(folder / "interbert.db"))
    assert file_state.events.expire(-1) == 1
    file_state.events.add([Event("click", "p")])


def test_a_full_disk_at_open_is_one_line_and_no_half_database(folder: Path) -> None:
    with largest_file(16 * 1024), pytest.raises(StorageError, match=r"interbert\.db: "):
        State.open(database_url(folder, None))
    State.open(database_url(folder, None)).close()


def test_a_database_that_may_only_be_read_refuses_writes(file_state: State) -> None:
    event.listen(
        file_state._database.engine, "checkout", lambda connection, *_: connection.execute("PRAGMA query_only=ON")
    )
    assert file_state.keys.list() == []
    error = refused(lambda: file_state.keys.create("a", ["search"]))
    assert (error.code, "cannot be written" in error.message) == ("storage_full", True)


def test_a_file_that_goes_away_and_returns(file_state: State, folder: Path, tmp_path: Path) -> None:
    key, secret = file_state.keys.create("a", ["search"])
    away = tmp_path / "away"
    away.mkdir()
    for file in folder.iterdir():
        file.rename(away / file.name)
    for call in (file_state.ping, lambda: file_state.keys.verify(secret), lambda: file_state.keys.revoke(key.id)):
        error = refused(call)
        assert (error.code, error.status) == ("state_unavailable", 503)
        assert error.message.startswith(f"{folder / 'interbert.db'}: cannot be reached")
    assert not list(folder.iterdir())  # no empty database took its place
    for file in away.iterdir():
        file.rename(folder / file.name)
    assert file_state.keys.verify(secret) == key


def test_a_file_that_is_damaged_while_it_is_open_is_said(file_state: State, folder: Path) -> None:
    file_state.keys.create("a", ["search"])
    file_state.close()
    file = folder / "interbert.db"
    size = file.stat().st_size
    with file.open("r+b") as opened:
        opened.write(b"\xff" * size)
    error = refused(file_state.keys.list)
    assert error.code == "state_unavailable"
    assert "Restore it from a copy" in error.message


def test_a_table_that_somebody_dropped_is_no_traceback(state: State, url: str) -> None:
    engine = create_engine(url)
    with engine.begin() as connection:
        connection.execute(text("DROP TABLE api_keys"))
    engine.dispose()
    assert refused(state.ping).code == "state_unavailable"


def test_nothing_is_half_written(state: State) -> None:
    events = [Event("click", "p1"), Event("click", "half \ud800"), Event("click", "p3")]
    assert refused(lambda: state.events.add(events)).code == "invalid"
    assert state.events.expire(-1) == 0
    task = state.tasks.create("add", "shop", [b"x"])
    lines = [(1, "a", "bad"), (2, "b\0", "bad")]
    assert refused(lambda: state.tasks.add_errors(task.id, lines)).code == "invalid"
    assert state.tasks.get(task.id).error_count == 0


_WRITER = """
import sys
from interbert.service.state import Event, State
state = State.open(sys.argv[1])
print("ready", flush=True)
sys.stdin.readline()
for number in range(60):
    state.events.add([Event("click", f"p{number}", f"q{number}", 1, sys.argv[2])])
    state.events.queries_seen([(f"q{number}", "shop", "dress", 1, None, None)])
    state.audit.write(None, None, "test", sys.argv[2])
"""


def test_two_processes_and_several_threads_write_at_once(state: State, url: str) -> None:
    others = [
        subprocess.Popen(
            [sys.executable, "-c", _WRITER, url, f"process {n}"],
            **dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE),
            text=True,
        )
        for n in range(2)
    ]
    for process in others:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    begun = threading.Barrier(4)

    def write(thread: int) -> None:
        begun.wait(60)
        for number in range(30):
            state.events.add([Event("click", f"p{number}", f"q{number}", 1, f"thread {thread}")])
            state.events.queries_seen([(f"q{number}", "shop", "dress", 2, None, None)])

    with ThreadPoolExecutor(4) as pool:
        for process in others:
            assert process.stdin is not None
            process.stdin.write("go\n")
            process.stdin.flush()
        list(pool.map(write, range(4)))
    for process in others:
        assert (process.communicate(timeout=120)[1], process.returncode) == ("", 0)
    assert len(state.audit.list(1000)) == 120
    assert [one.count for one in state.events.popular("shop")] == [60]
    assert state.events.expire(-1) == 60 + 2 * 60 + 4 * 30


_KILLED = """
import os, signal, sys
from interbert.service.state import State
state = State.open(sys.argv[1])
for number in range(20):
    print(state.tasks.create("add", "shop", [str(number).encode()]).id, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_what_was_returned_before_a_kill_is_there(url: str, open_state: Callable[[], State]) -> None:
    done = subprocess.run([sys.executable, "-c", _KILLED, url], capture_output=True, text=True, timeout=120)
    assert done.returncode == -signal.SIGKILL, done.stderr[-300:]
    told = done.stdout.split()
    assert len(told) == 20
    assert [one.id for one in open_state().tasks.list("shop")] == told[::-1]


def test_a_server_that_drops_its_connections_is_asked_again(state: State, url: str) -> None:
    if not url.startswith("postgresql"):
        pytest.skip("SQLite has no server that drops connections")
    engine = create_engine(url, isolation_level="AUTOCOMMIT")
    others = "FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
    state.ping()
    with engine.connect() as connection:
        connection.execute(text(f"SELECT pg_terminate_backend(pid) {others}")).all()
    engine.dispose()
    state.ping()
