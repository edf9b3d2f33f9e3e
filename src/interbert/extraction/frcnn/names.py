"""What the detector's classes and attributes are called: Visual Genome's 1,600 objects and 400 attributes."""

from __future__ import annotations

from functools import cache
from importlib.resources import files

BACKGROUND = "background"


@cache
def object_names() -> tuple[str, ...]:
    """Names of a region's classes in the order of its distribution, the background first: 1,601."""
    return (BACKGROUND, *_lines("objects.txt"))


@cache
def attribute_names() -> tuple[str, ...]:
    """Names of the attributes in the order of their probabilities: 400."""
    return _lines("attributes.txt")


def _lines(name: str) -> tuple[str, ...]:
    """The first of several spellings of each line."""
    text = files(__package__).joinpath(name).read_text(encoding="utf-8")
    return tuple(line.split(",")[0].strip() for line in text.splitlines())
