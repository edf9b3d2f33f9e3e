"""Stand-in."""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass


@dataclass(frozen=True)
class NormaliseOptions:
    """Stand-in."""

    simplified: bool = False
    """Stand-in."""


def normalise_title(raw: str, options: NormaliseOptions) -> str:
    """Stand-in."""
    return " ".join(unicodedata.normalize("NFKC", raw).split())
