"""One writer per folder: two commands that write the same one would write everything twice."""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from interbert.errors import UsageError


@contextmanager
def only_writer(folder: str | Path) -> Iterator[None]:
    """Hold a folder (or URI) for the length of a block; a killed process lets go of it.

    The lock lies in the machine's temporary folder: it holds among this user's processes on one machine.

    Args:
        folder: need not exist.

    Raises:
        UsageError: another process holds it.
    """
    from filelock import FileLock, Timeout

    locks = Path(tempfile.gettempdir()) / f"interbert-locks-{_user()}"
    locks.mkdir(exist_ok=True)
    name = str(folder) if "://" in str(folder) else str(Path(folder).resolve())
    key = hashlib.sha256(name.encode()).hexdigest()[:16]
    lock = FileLock(locks / f"{key}.lock")
    try:
        lock.acquire(blocking=False)
    except Timeout:
        raise UsageError(f"{folder}: another command is writing it. Wait until it is done, or name another.") from None
    try:
        yield
    finally:
        lock.release()


def _user() -> int:
    return os.getuid() if hasattr(os, "getuid") else 0
