"""JSON and YAML of others, read within stated limits of size and depth."""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any

import yaml

from interbert.errors import DataError, InterBertError, first_line

MAX_FILE = 1 << 26
"""Bytes of a file that is read whole: settings, names of classes, logs."""
MAX_VALUES = 1_000_000
"""Values of a JSON text; each is an object of its own in memory, whatever the file holds of it."""
MAX_LEVELS = 60
"""Lists and objects inside each other; nothing that is read has more than ten."""
_SIGN = re.compile(r'[,\[{]|"[^"\\]*+(?:\\(?:.|\Z)[^"\\]*+)*+(?:"|\Z)', re.DOTALL)
"""What begins a value, or a text as a whole; in time linear in what it reads, also where a text does not end."""


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


def json_value(text: str | bytes) -> Any:
    """The value of a JSON text; of bytes in UTF-8, UTF-16 or UTF-32.

    Raises:
        ValueError: it is no JSON, or goes beyond a limit.
    """
    if isinstance(text, bytes):
        text = text.decode(json.detect_encoding(text))
    if sum(map(text.count, ",[{")) > MAX_VALUES and _has_values(text, MAX_VALUES):
        raise ValueError(f"it has more than {MAX_VALUES:,} values, which are not read")
    too_deep = f"it is nested deeper than {MAX_LEVELS} levels, which are not read"
    try:
        value = json.loads(text)
    except RecursionError as error:
        raise ValueError(too_deep) from error
    if is_deeper(value, MAX_LEVELS):
        raise ValueError(too_deep)
    return value


def _has_values(text: str, most: int) -> bool:
    """Whether a JSON text has more values, by the signs before them that stand outside of texts."""
    signs = (one for one in _SIGN.finditer(text) if text[one.start()] != '"')
    return next(islice(signs, most, None), None) is not None


@contextmanager
def reading(path: str | Path, remedy: str) -> Iterator[None]:
    """Turn what a damaged file makes of the block that reads it into one line.

    The block may take names and numbers out of what :func:`read_json` gave as if they were there.

    Args:
        path: of the file, which a command of ours wrote.
        remedy: what to do about it, a sentence.

    Raises:
        DataError: the file is not there, no JSON, beyond a limit, or lacks what is taken out of it.
    """
    try:
        yield
    except InterBertError:
        raise
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror or first_line(error)}). {remedy}") from error
    except (ValueError, LookupError, TypeError, AttributeError, OverflowError) as error:
        reason = f"it has no {error}" if isinstance(error, KeyError) else first_line(error)
        raise DataError(f"{path}: is damaged ({reason}). {remedy}") from error


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


MAX_BYTES = 1 << 20
"""Bytes of a YAML file, and characters when its repetitions are written out."""
MAX_YAML_VALUES = 10_000
"""Values of a YAML file when its repetitions are written out."""


def require_bounded_yaml(path: str | Path) -> str:
    """The text of a YAML file that stands for no more than is read.

    Raises:
        OSError: it is not there or cannot be read.
        UnicodeDecodeError: it is no text in UTF-8.
        yaml.YAMLError: it is no YAML.
        ValueError: it is too large, stands for too much, or is nested too deeply; the message goes on from its name.
    """
    with Path(path).open("rb") as stream:
        raw = stream.read(MAX_BYTES + 1)
    if len(raw) > MAX_BYTES:
        raise ValueError(f"has more than {MAX_BYTES:,} bytes. Is it another file?")
    text = raw.decode("utf-8")
    try:
        values, characters = _unfolded(yaml.compose(text, yaml.SafeLoader), {})
    except (RecursionError, _OwnPartError) as error:
        raise ValueError("is nested too deeply, or repeats itself.") from error
    if values > MAX_YAML_VALUES or characters > MAX_BYTES:
        raise ValueError(
            f"has more than {MAX_YAML_VALUES:,} values or {MAX_BYTES:,} characters when its repetitions (&, *) are "
            "written out. Write its options plainly."
        )
    return text


class _OwnPartError(Exception):
    """A node contains itself."""


def _unfolded(node: yaml.Node | None, known: dict[int, tuple[int, int] | None]) -> tuple[int, int]:
    """Values and characters of a node of YAML with its repetitions written out; each node is looked at once."""
    if node is None or isinstance(node, yaml.ScalarNode):
        return 1, 0 if node is None else len(node.value)
    if id(node) in known:
        found = known[id(node)]
        if found is None:
            raise _OwnPartError
        return found
    known[id(node)] = None
    inner = itertools.chain.from_iterable(node.value) if isinstance(node, yaml.MappingNode) else node.value
    parts = [_unfolded(one, known) for one in inner]
    known[id(node)] = total = 1 + sum(values for values, _ in parts), sum(characters for _, characters in parts)
    return total
