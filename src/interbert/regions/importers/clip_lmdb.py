"""The LMDB files of Chinese-CLIP: ``imgs`` (id -> image in base64) and ``pairs`` (number -> pickled tuple of image id,
text id and text), each beside a count of its records.

Another process reads the files, and pickles are read without running anything in them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from interbert.regions.importers.isolated import IsolatedFile
from interbert.regions.importers.pickles import UnsafePickleError, loads

_IMAGES, _PAIRS = "num_images", "num_samples"
"""Keys of the counts."""
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
        SourceError: it is no LMDB, or damaged.
        MissingExtraError: lmdb is not installed.
    """
    for record in IsolatedFile("lmdb", str(folder)).records():
        if record.key != _IMAGES:
            yield record.key, record.content if record.problem is None else record.problem


def read_pairs(folder: Path) -> Iterator[Pair | str]:
    """Each pair, or what is wrong with its record; in the order of the file's keys.

    Raises:
        SourceError: it is no LMDB, or damaged.
        MissingExtraError: lmdb is not installed.
    """
    for record in IsolatedFile("lmdb", str(folder)).records():
        if record.key != _PAIRS:
            yield (
                _pair(record.content, record.key)
                if record.problem is None
                else f"key {record.key[:40]!r} {record.problem}"
            )


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
