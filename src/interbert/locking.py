"""One writer per folder: two commands that write the same one would write everything twice."""

from __future__ import annotations

import hashlib
import os
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from interbert.errors import StorageError, UsageError, first_line


@contextmanager
def only_writer(folder: str | Path) -> Iterator[None]:
    """Hold a folder (or URI) for the length of a block; a killed process lets go of it.

    The lock lies in the machine's temporary folder: it holds among this user's processes on one machine.

    Args:
        folder: need not exist.

    Raises:
        UsageError: another process holds it.
        StorageError: the lock cannot be made: its folder's name is taken, or is a link or somebody else's.
    """
    from filelock import FileLock, Timeout

    name = str(folder) if "://" in str(folder) else str(Path(folder).resolve())
    key = hashlib.sha256(name.encode()).hexdigest()[:16]
    lock = FileLock(_lock_folder() / f"{key}.lock")
    try:
        lock.acquire(blocking=False)
    except Timeout:
        raise UsageError(f"{folder}: another command is writing it. Wait until it is done, or name another.") from None
    except (OSError, NotImplementedError) as error:  # a folder in its place, a file system without locks, a full disk
        raise StorageError(
            f"{lock.lock_file}: {folder} cannot be locked ({getattr(error, 'strerror', None) or first_line(error)}). "
            "Remove what is there, or set TMPDIR to another folder."
        ) from error
    try:
        yield
    finally:
        lock.release()


def _lock_folder() -> Path:
    """Where locks lie; made when it is not there.

    Raises:
        StorageError: it cannot be made, or something else has its name.
    """
    folder = Path(tempfile.gettempdir()) / f"interbert-locks-{_user()}"
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        found = folder.lstat()
    except OSError as error:
        raise StorageError(
            f"{folder}: the folder of locks cannot be made ({error.strerror}). Remove what is there, or set TMPDIR to "
            "another folder."
        ) from error
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != _user():
        raise StorageError(
            f"{folder}: is to be the folder of this user's locks, but is a link, or somebody else's. Remove it, or set "
            "TMPDIR to another folder."
        )
    return folder


def _user() -> int:
    return os.getuid() if hasattr(os, "getuid") else 0
