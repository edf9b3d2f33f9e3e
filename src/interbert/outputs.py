"""Files that a command is told to write: one that is there already is replaced only when it is of the same kind.

So a mistaken ``--out`` never costs a source, a setting or a model.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from interbert.atomic_write import atomic_write
from interbert.bounded_files import json_value
from interbert.errors import UsageError

_MOST_BYTES = 16 * 2**20
"""Larger files are not looked through, and no command writes such metrics."""
_HEAD_BYTES = 4096


@dataclass(frozen=True)
class Kind:
    """What a command writes into one file."""

    name: str
    """For messages, with its article."""
    recognises: Callable[[Path], bool]
    """Whether a file that is not empty is of this kind."""


def _page(file: Path) -> bool:
    return re.match(rb"(?:\xef\xbb\xbf)?\s*<(?:!doctype\s+html|html)\b", _head(file), re.IGNORECASE) is not None


def _drawing(file: Path) -> bool:
    return re.match(rb"(?:\xef\xbb\xbf)?\s*(?:<\?xml[^>]*>\s*)?<svg\b", _head(file), re.IGNORECASE) is not None


def _findings(file: Path) -> bool:
    return _has_keys(_head(file).split(b"\n")[0], {"row", "reason", "kind"})


def _head(file: Path) -> bytes:
    with file.open("rb") as opened:
        return opened.read(_HEAD_BYTES)


def _has_keys(text: bytes, keys: set[str]) -> bool:
    try:
        content = json_value(text)
    except ValueError:
        return False
    return isinstance(content, dict) and keys <= content.keys()


def _metrics(*keys: str) -> Callable[[Path], bool]:
    """Recognises a JSON object that has these keys, which no settings, topics or judgements have together."""
    return lambda file: file.stat().st_size <= _MOST_BYTES and _has_keys(file.read_bytes(), set(keys))


PAGE = Kind("an HTML page", _page)
DRAWING = Kind("an SVG drawing", _drawing)
FINDINGS = Kind("a list of findings", _findings)
"""Of ``interbert regions verify``."""
RETRIEVAL_METRICS = Kind("metrics of retrieval", _metrics("model", "regions", "regions_fingerprint"))
TOPIC_METRICS = Kind("metrics of topics", _metrics("index", "topics", "by_field"))


def require_replaceable(path: str | Path | None, kind: Kind) -> None:
    """Check, before long work too, that a file of a kind may be written at a path; None passes.

    Raises:
        UsageError: the path is a folder, its folder does not exist, or another kind of file is there.
    """
    if path is None:
        return
    file = Path(path)
    if file.is_dir():
        raise UsageError(f"{path}: is a folder. Name a file.")
    if not file.resolve().parent.is_dir():
        raise UsageError(f"{path}: its folder does not exist. Make it, or name another.")
    try:
        same = not file.is_file() or not file.stat().st_size or kind.recognises(file)
    except OSError as error:
        raise UsageError(f"{path}: is there already and cannot be read ({error.strerror}). Name another.") from error
    if not same:
        raise UsageError(
            f"{path}: is there already and is not {kind.name}, so it is not replaced. Name another file, or remove it."
        )


def require_apart(paths: Mapping[str, str | None]) -> None:
    """Check that options name different files, however they are spelt.

    Raises:
        UsageError: two name one.
    """
    places: dict[Path, str] = {}
    for option, path in paths.items():
        if path is not None and (other := places.setdefault(Path(path).resolve(), option)) != option:
            raise UsageError(f"{path}: is named by {other} and {option}. Name two files.")


def write_output(path: str | Path, text: str, kind: Kind) -> None:
    """Write a text file whole, in place of one of the same kind.

    Raises:
        UsageError: as :func:`require_replaceable`.
        StorageError: the disk is full or not writable; what was there stays.
    """
    require_replaceable(path, kind)
    atomic_write(path, text)
