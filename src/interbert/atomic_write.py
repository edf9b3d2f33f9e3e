"""Files that are written whole or not at all: a full disk or a kill at any moment leaves what was there before."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from interbert.errors import writing

_PART = ".part"


@contextmanager
def replacing(path: str | Path) -> Iterator[Path]:
    """A file to write into, in the same folder, that takes the place of ``path`` when the block ends well.

    Otherwise nothing is left of it, but after a kill a hidden file (:func:`is_part`). A link is followed, and what is
    no file, such as ``/dev/stdout``, is written itself.

    Raises:
        StorageError: the disk is full or not writable, or ``path`` is write-protected.
    """
    with writing(path):
        target = Path(os.path.realpath(path))
        if target.exists() and not target.is_file():
            yield target
            return
        if target.exists() and not os.access(target, os.W_OK):
            raise PermissionError(None, "Permission denied", str(path))
        part = target.with_name(f".{secrets.token_hex(8)}{_PART}")  # short: the name alone may be as long as may be
        try:
            yield part
            part.chmod(target.stat().st_mode & 0o777 if target.exists() else _usual_mode())  # safetensors: owner alone
            part.replace(target)
        finally:
            part.unlink(missing_ok=True)


def atomic_write(path: str | Path, text: str) -> None:
    """Write a text file by :func:`replacing`, as UTF-8.

    Raises:
        StorageError: as :func:`replacing`.
    """
    with replacing(path) as part:
        part.write_text(text, encoding="utf-8")


def is_part(path: Path) -> bool:
    """Whether this is what a killed process left of a file that it was writing."""
    return path.name.startswith(".") and path.suffix == _PART


def _usual_mode() -> int:
    """Permissions of a new file."""
    mask = os.umask(0)
    os.umask(mask)
    return 0o666 & ~mask
