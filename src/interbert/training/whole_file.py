"""Small files that say how far a run is, and that the next run reads."""

from __future__ import annotations

from pathlib import Path


def write_whole(file: Path, text: str) -> None:
    """Write a text file so that a kill at any moment leaves it as it was, or as it is to be."""
    part = file.with_name(file.name + ".part")
    part.write_text(text, encoding="utf-8")
    part.replace(file)
