"""One writer per folder: two commands that write the same one would write everything twice."""

from __future__ import annotations

import contextlib
import hashlib
import os
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path

from interbert.errors import UsageError, writing


@contextlib.contextmanager
def only_writer(folder: str | Path) -> Iterator[None]:
    """Hold a folder (or URI) for the length of a block; a killed process lets go of it.

    The lock lies in the machine's temporary folder: it holds among this user's processes on one machine.

    Args:
        folder: need not exist.

    Raises:
        UsageError: another process holds it, or the place of locks is a file, a link or somebody else's.
        StorageError: the lock cannot be written.
    """
    from filelock import FileLock, Timeout

    locks = _own_folder(Path(tempfile.gettempdir()) / f"interbert-locks-{_user()}")
    name = str(folder) if "://" in str(folder) else str(Path(folder).resolve())
    key = hashlib.sha256(name.encode()).hexdigest()[:16]
    file = locks / f"{key}.lock"
    lock = FileLock(file)
    if file.is_symlink() or (file.exists() and not file.is_file()):
        raise UsageError(f"{file}: is no regular file; locks are kept there. Remove it.")
    with writing(file):
        try:
            lock.acquire(blocking=False)
        except Timeout:
            raise UsageError(
                f"{folder}: another command is writing it. Wait until it is done, or name another."
            ) from None
        except NotImplementedError as error:  # a file system without locks
            raise UsageError(f"{file}: {folder} cannot be locked there. Set TMPDIR to another folder.") from error
    try:
        yield
    finally:
        lock.release()


def _own_folder(locks: Path) -> Path:
    """The folder of locks, made when it is not there; others may prepare something under its name, which is known.

    Raises:
        UsageError: it is no folder, a link, or another user's.
        StorageError: it cannot be made.
    """
    with writing(locks), contextlib.suppress(FileExistsError):
        locks.mkdir(mode=0o700)
    found = locks.lstat()
    if not stat.S_ISDIR(found.st_mode) or (hasattr(os, "getuid") and found.st_uid != os.getuid()):
        raise UsageError(
            f"{locks}: locks are kept there, and it is no folder of yours. Remove it, or set TMPDIR to one of yours."
        )
    if stat.S_IMODE(found.st_mode) & 0o022:  # earlier versions made it as the umask says
        locks.chmod(0o700)
    return locks


def _user() -> int:
    return os.getuid() if hasattr(os, "getuid") else 0
