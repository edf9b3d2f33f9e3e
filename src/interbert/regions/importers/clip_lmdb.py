"""The LMDB files of Chinese-CLIP: ``imgs`` (id -> image in base64) and ``pairs`` (number -> pickled tuple of image id,
text id and text), each beside a count of its records.

Another process reads the files, and pickles are read without running anything in them.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from interbert.errors import SourceError
from interbert.regions.importers.isolated import IsolatedFile, Record
from interbert.regions.importers.pickles import UnsafePickleError, loads

_logger = logging.getLogger(__name__)

_IMAGES, _PAIRS = "num_images", "num_samples"
"""Keys of the counts."""
_DIGITS = 12
"""Of a count."""
_MAX_PICKLE = 100
"""Steps and elements of a pickled pair; it has three."""


@dataclass(frozen=True)
class Pair:
    """One text of one image."""

    image_id: int | str
    text_id: int | str
    text: str


def is_lmdb(path: Path) -> bool:
    """Whether a folder is an LMDB."""
    return (path / "data.mdb").is_file()


def read_images(folder: Path) -> Iterator[tuple[str, bytes | str]]:
    """Id of each image, and its base64, or what is wrong with it as text.

    Raises:
        SourceError: it is no LMDB, damaged, or has fewer records than it counts.
        MissingExtraError: lmdb is not installed.
    """
    for record in _records(folder, _IMAGES):
        yield record.key, record.content if record.problem is None else record.problem


def read_pairs(folder: Path) -> Iterator[Pair | str]:
    """Each pair, or what is wrong with its record; in the order of the file's keys.

    Raises:
        SourceError: it is no LMDB, damaged, or has fewer records than it counts.
        MissingExtraError: lmdb is not installed.
    """
    for record in _records(folder, _PAIRS):
        if record.problem is None:
            yield _pair(record.content, record.key)
        else:
            yield f"key {record.key[:40]!r} {record.problem}"


def _records(folder: Path, count: str) -> Iterator[Record]:
    """All but the record that says how many they are; this one is written last.

    Raises:
        SourceError: there are fewer.
    """
    found, expected = 0, None
    for record in IsolatedFile("lmdb", str(folder)).records():
        if record.key == count:
            expected = record.content.strip()
            continue
        found += 1
        yield record
    if expected is None:
        _logger.info(f"{folder}: has no {count}; whether it was written to its end is not known")
    elif not expected.isdigit() or found < int(expected[:_DIGITS]):
        shown = expected[:_DIGITS].decode("latin1")
        raise SourceError(f"{folder}: has {found:,} of {shown} records ({count}). Write or copy it again.")


def _pair(content: bytes, key: str) -> Pair | str:
    try:
        value = loads(content, _MAX_PICKLE)
    except UnsafePickleError as error:
        return f"key {key[:40]!r} is no pair of an image and a text: {error}"
    known = (int, str), (int, str), (str,)
    if not isinstance(value, list) or len(value) != len(known):
        return f"key {key[:40]!r} is no pair of an image and a text"
    fits = all(isinstance(one, kinds) and not isinstance(one, bool) for one, kinds in zip(value, known, strict=True))
    return Pair(*value) if fits else f"key {key[:40]!r} is no pair of an image's id, a text's id and a text"
