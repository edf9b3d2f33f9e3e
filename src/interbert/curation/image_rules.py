"""Stand-in."""

from __future__ import annotations

import hashlib
import io
from dataclasses import dataclass
from typing import NamedTuple

from interbert.curation.reasons import Reason


@dataclass(frozen=True)
class ImageOptions:
    """Stand-in."""

    min_side: int = 32
    """Stand-in."""


class ImageJudgement(NamedTuple):
    """Stand-in."""

    dropped: Reason | None
    flags: tuple[Reason, ...]
    digest: bytes
    hash: bytes
    width: int
    height: int
    format: str


class ImageRules:
    """Stand-in."""

    def __init__(self, options: ImageOptions) -> None:
        self._options = options

    def judge(self, data: bytes) -> ImageJudgement:
        """Stand-in."""
        from PIL import Image

        digest = hashlib.sha256(data).digest()
        try:
            image = Image.open(io.BytesIO(data))
            grey = image.convert("L").resize((8, 4))
        except Exception as error:
            return ImageJudgement(Reason("image_unreadable", str(error)[:60]), (), digest, b"", 0, 0, "")
        return ImageJudgement(None, (), digest, grey.tobytes(), *image.size, image.format or "")


def rule_names() -> tuple[str, ...]:
    """Stand-in."""
    return ("image_unreadable",)
