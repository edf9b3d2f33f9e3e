"""The trainer's log, read while it may still be written."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from interbert.bounded_files import json_value, read_small_text
from interbert.errors import DataError

Entry = Mapping[str, float]


def read_log(path: str | Path) -> list[Entry]:
    """Entries of a ``log_history.jsonl`` whose values are finite numbers; [] when there is no such file.

    A last line without its end is left out: the trainer is writing it, or was killed while it did.

    Raises:
        DataError: another line is no JSON object; it is named.
    """
    file = Path(path)
    if not file.is_file():
        return []
    try:
        lines = read_small_text(file).split("\n")
    except UnicodeDecodeError as error:
        raise DataError(f"{file}: is no text in UTF-8. Restore it, or repeat the run in another folder.") from error
    except ValueError as error:
        raise DataError(f"{file}: {error}. Is it the log of a training run?") from error
    entries = []
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            entries.append(_numbers(json_object(line)))
        except ValueError as error:
            if number == len(lines):
                break
            raise DataError(f"{file}, line {number}: is no log entry ({error}). Remove the line.") from error
    return entries


def json_object(text: str) -> dict[str, Any]:
    """A JSON object.

    Raises:
        ValueError: the text is something else, or beyond a limit of :mod:`interbert.bounded_files`.
    """
    found = json_value(text)
    if not isinstance(found, dict):
        raise ValueError(f"a {type(found).__name__}, not an object")
    return found


def _numbers(record: Mapping[str, Any]) -> Entry:
    return {
        key: float(value)
        for key, value in record.items()
        if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    }


def last_value(entries: Sequence[Entry], name: str) -> float | None:
    """The last entry's that has one."""
    return next((one[name] for one in reversed(entries) if name in one), None)
