"""Stand-in."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from interbert.curation.reasons import Reason


@dataclass(frozen=True)
class TitleOptions:
    """Stand-in."""

    min_length: int = 4
    """Stand-in."""


class TitleJudgement(NamedTuple):
    """Stand-in."""

    title: str
    dropped: Reason | None
    flags: tuple[Reason, ...]


class TitleRules:
    """Stand-in."""

    def __init__(self, options: TitleOptions) -> None:
        self._options = options

    def judge(self, clean: str) -> TitleJudgement:
        """Stand-in."""
        short = len(clean) < self._options.min_length
        return TitleJudgement(clean, Reason("title_too_short", f"{len(clean)} characters") if short else None, ())


STRIPPING: tuple[str, ...] = ()
"""Stand-in."""


def rule_names() -> tuple[str, ...]:
    """Stand-in."""
    return ("title_too_short",)
