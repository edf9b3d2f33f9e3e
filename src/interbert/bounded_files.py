"""Small files and JSON of others, read within limits: of bytes, of values, of levels inside each other.

Python's reader of JSON has none: it makes 60 bytes of three characters, and a value of a thousand levels ends in a
RecursionError, there or where the value is used. What is beyond a limit is a ValueError here, as what is no JSON is.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

MAX_FILE = 1 << 26
"""Bytes of a file that is read whole: settings, names of classes, logs."""
MAX_VALUES = 1_000_000
"""Values of a JSON text; each is an object of its own in memory, whatever the file holds of it."""
MAX_LEVELS = 60
"""Lists and objects inside each other; nothing that is read has more than ten."""


def read_small_text(path: str | Path, most: int = MAX_FILE) -> str:
    """The text of a file, without the mark that some editors put before UTF-8.

    Raises:
        OSError: it is not there or cannot be read.
        ValueError: it is no text in UTF-8, or has more than ``most`` bytes.
    """
    with Path(path).open("rb") as stream:
        raw = stream.read(most + 1)
    if len(raw) > most:
        raise ValueError(f"it has more than {most:,} bytes, which are not read")
    return raw.decode("utf-8-sig")


def read_json(path: str | Path, most: int = MAX_FILE) -> Any:
    """The value of a JSON file.

    Raises:
        OSError: it is not there or cannot be read.
        ValueError: it is no JSON in UTF-8, or goes beyond a limit.
    """
    return json_value(read_small_text(path, most))


def json_value(text: str) -> Any:
    """The value of a JSON text.

    Raises:
        ValueError: it is no JSON, or goes beyond a limit.
    """
    if sum(map(text.count, ",[{")) > MAX_VALUES:  # signs inside of texts count, too: a text of commas is no setting
        raise ValueError(f"it has more than {MAX_VALUES:,} values, which are not read")
    too_deep = f"it is nested deeper than {MAX_LEVELS} levels, which are not read"
    try:
        value = json.loads(text)
    except RecursionError as error:
        raise ValueError(too_deep) from error
    if is_deeper(value, MAX_LEVELS):
        raise ValueError(too_deep)
    return value


def is_deeper(value: Any, levels: int) -> bool:
    """Whether lists and objects lie in each other, more than so many."""
    inside = [value] if isinstance(value, list | dict) else []
    for _ in range(levels):
        inside = [
            one
            for holder in inside
            for one in (holder.values() if isinstance(holder, dict) else holder)
            if isinstance(one, list | dict)
        ]
        if not inside:
            return False
    return bool(inside)
