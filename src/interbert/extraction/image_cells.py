"""What a cell of an image column holds: the image's file, where it lies, or why there is none."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from interbert.extraction.table_files import is_downloaded
from interbert.utils.redaction import without_credentials


def is_address(value: Any) -> bool:
    """Whether a cell names an image that has to be downloaded first."""
    value = value.get("path") if isinstance(value, dict) and not value.get("bytes") else value
    return isinstance(value, str) and value.startswith(("http://", "https://"))


def image_file(value: Any, folder: Path | None, name: str) -> tuple[bytes | Path | None, str | None]:
    """The image's file, or why there is none.

    Args:
        value: bytes, a path, or a dict of ``bytes`` and ``path`` or with a ``problem``.
        folder: what paths are relative to and lie in; None: of a data set of the Hub.
        name: the source's name.
    """
    if isinstance(value, list | tuple):
        return None, f"has {len(value):,} images in one cell, of which one a row is read here. Give each a row"
    if isinstance(value, dict):
        if value.get("problem"):
            return None, str(value["problem"])
        if value.get("bytes"):
            return value["bytes"], None
        value = value.get("path")
    if isinstance(value, bytes):
        return value, None
    if not value:
        return None, "the image is empty"
    shown = without_credentials(str(value))  # before it is cut: half a user part is not known as one
    if is_address(str(value)):
        return None, f"{shown[:80]}: is an address. Download the images first and give their paths"
    if folder is None:  # `datasets` resolved it, or the data set's owner wrote it there
        if is_downloaded(str(value), name):
            return Path(value), None
        return None, f"{shown[:80]!r}: is no file of the data set. Download it, and give its folder"
    inside = folder.resolve()
    try:
        path = (inside / str(value)).resolve()
        if not path.is_relative_to(inside):
            return None, f"the path {shown} leads out of {folder}"
        if path.is_file():
            return path, None
    except (OSError, ValueError):  # too long, or with a NUL
        return None, f"{shown[:80]!r}: is no path of an image"
    return None, f"{shown}: there is no such file"
