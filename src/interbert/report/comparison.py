"""Records of several runs side by side, what differs marked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Row:
    """One entry of all records.

    Attributes:
        name: of the entry.
        values: of each record, as text; None where it has no such entry. Those of absolute paths are compared whole
            and shown as names.
    """

    name: str
    values: tuple[str | None, ...]

    @property
    def differs(self) -> bool:
        """Whether two records that have the entry have different values."""
        return len({value for value in self.values if value is not None}) > 1


def rows_of(records: Sequence[Mapping[str, Any]]) -> list[Row]:
    """Every entry of any record, in the order in which they come up."""
    names = dict.fromkeys(name for record in records for name in record)
    return [Row(name, tuple(_text(one[name]) if name in one else None for one in records)) for name in names]


def _text(value: Any) -> str:
    if value is None:
        return "none"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return f"{value:.6g}"
    return ", ".join(map(_text, value)) or "[]" if isinstance(value, list | tuple) else str(value)
