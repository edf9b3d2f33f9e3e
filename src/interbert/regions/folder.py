"""Folders of stores: whether there is one, and what a first write that was killed left behind."""

from __future__ import annotations

import shutil
from pathlib import Path

from interbert.errors import StoreError

_LANCE_FOLDERS = ("data", "_versions", "_transactions")


def is_store(path: str | Path) -> bool:
    """Whether ``path`` is a Lance data set; of a URI its bucket is asked."""
    if "://" not in str(path):
        return any(Path(path, "_versions").glob("*.manifest"))
    import lance

    try:
        lance.dataset(str(path))
    except (OSError, ValueError):
        return False
    return True


def make_room(path: str | Path) -> None:
    """Check that a store may be created here, and clear what a first write left that was killed before its commit.

    Raises:
        StoreError: there is a store already, or something else.
    """
    if is_store(path):
        raise StoreError(f"{path}: there is a store already.")
    folder = Path(path)
    if any(parent.exists() and not parent.is_dir() for parent in (folder, *folder.parents)):
        raise StoreError(f"{path}: is a file, or lies below one. Name a folder.")
    if folder.exists() and any(folder.iterdir()):
        if not _is_unfinished(folder):
            raise StoreError(f"{path}: the folder is not empty and is no region store. Name another folder.")
        clear(folder)


def clear(folder: Path) -> None:
    """Remove what Lance wrote, and nothing else."""
    for name in _LANCE_FOLDERS:
        shutil.rmtree(folder / name, ignore_errors=True)


def _is_unfinished(folder: Path) -> bool:
    """Whether a folder holds nothing but what lance writes before its first commit."""
    written = [file for file in folder.rglob("*") if not file.is_dir()]
    return all(one.name in _LANCE_FOLDERS for one in folder.iterdir()) and not any(
        file.suffix != ".lance" for file in written if "data" in file.relative_to(folder).parts
    )
