"""YAML of others, measured before it is parsed: a few lines that repeat each other are gigabytes when they are used."""

from __future__ import annotations

import itertools
from pathlib import Path

import yaml

MAX_BYTES = 1 << 20
"""Bytes of a YAML file, and characters when its repetitions are written out."""
MAX_VALUES = 10_000
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
    if values > MAX_VALUES or characters > MAX_BYTES:
        raise ValueError(
            f"has more than {MAX_VALUES:,} values or {MAX_BYTES:,} characters when its repetitions (&, *) are written "
            "out. Write its options plainly."
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
