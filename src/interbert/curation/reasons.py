"""Why a row of a data set was dropped, or what about it is worth knowing."""

from __future__ import annotations

from typing import NamedTuple


class Reason(NamedTuple):
    """A rule and what it saw."""

    rule: str
    """Name of the rule, as reports count it, such as ``title_too_short``."""
    detail: str
    """What the rule saw in this row, in a few words; empty when the name says all."""
