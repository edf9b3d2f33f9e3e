"""A real PostgreSQL server for tests, from the programs that are installed; in a folder of its own, on loopback."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

USER = "postgres"
"""Who owns the server where tests run as root, which PostgreSQL refuses; Debian's package makes this user."""


def programs() -> Path | None:
    """The folder of ``initdb`` and ``pg_ctl``: the newest of Debian's, or that on the path; None without PostgreSQL."""
    folders = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda one: int(one.parent.name), reverse=True)
    on_path = shutil.which("initdb")
    folders += [Path(on_path).parent] if on_path else []
    return next((one for one in folders if (one / "initdb").is_file() and (one / "pg_ctl").is_file()), None)


@contextlib.contextmanager
def server() -> Iterator[str]:
    """Start a server, and stop it and remove its data afterwards; yields SQLAlchemy's URL."""
    with tempfile.TemporaryDirectory() as folder:  # pytest's own folders are closed to other users
        yield from _serving(Path(folder))


def _serving(folder: Path) -> Iterator[str]:
    found = programs()
    assert found is not None
    data, log_file = folder / "data", folder / "programs.log"
    data.mkdir()
    as_user: list[str] = []
    if os.geteuid() == 0:
        as_user = ["setpriv", f"--reuid={USER}", f"--regid={USER}", "--init-groups"]
        shutil.chown(folder, USER)
        shutil.chown(data, USER)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]

    def call(program: str, *words: str) -> None:
        # its output goes to a file: the server keeps what it inherits open
        with log_file.open("ab") as log:
            command = [*as_user, str(found / program), *words]
            subprocess.run(command, check=True, stdout=log, stderr=log, timeout=120, cwd="/")

    call(
        "initdb", "-D", str(data), "-U", "interbert", "--auth=trust", "--no-sync", "--encoding=UTF8", "--locale=C.UTF-8"
    )
    options = f"-p {port} -c listen_addresses=127.0.0.1 -c unix_socket_directories='' -c fsync=off"
    call("pg_ctl", "-D", str(data), "-w", "-l", str(data / "server.log"), "-o", options, "start")
    try:
        yield f"postgresql+psycopg://interbert@127.0.0.1:{port}/postgres"
    finally:
        call("pg_ctl", "-D", str(data), "-m", "immediate", "-w", "stop")
