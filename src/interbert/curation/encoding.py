"""Vectors of images and titles by a model directory, chunk by chunk into files: killed, the same call goes on.

Shapes: N rows, D vector size.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from interbert.errors import DataError, RegionError, writing
from interbert.extraction.decoding import decode_ahead
from interbert.extraction.sources import SourceItem
from interbert.search.index_model import model_fingerprint
from interbert.search.products import KnownRegions
from interbert.search.query_encoder import ProductEncoder
from interbert.utils.bounded_files import json_value
from interbert.utils.files import atomic_write, only_writer, replacing
from interbert.utils.terminal import progress_bar

Float32 = NDArray[np.float32]

CHUNK_ROWS = 256
"""Rows that are encoded between two notes of what is done; their files are in memory together."""
_JOURNAL, _TEXT, _IMAGE = "journal.jsonl", "text.npy", "image.npy"


class Pairs(Protocol):
    """Images and titles by row; each row is read once, in order."""

    def __len__(self) -> int:
        """N."""

    def __getitem__(self, row: int, /) -> tuple[bytes, str]:
        """The image's file, and the title."""


@dataclass(frozen=True)
class PairVectors:
    """What :func:`encode_pairs` leaves."""

    text: Float32
    """[N, D], a memory map; NaN where ``problems`` names the row."""
    image: Float32
    """[N, D], so that inner products with ``text`` are the scores that rank."""
    problems: dict[int, str]
    """Why rows have no vectors."""


class _Journal:
    """Which chunks are done, a line each after one that says of what: lines are added, so a kill leaves whole ones.

    Args:
        file: of lines.
        what: the vectors are of; a journal of others counts as empty.
    """

    def __init__(self, file: Path, what: dict[str, Any]) -> None:
        self._file = file
        self._lines = _read_lines(file)
        if self._lines[:1] != [what]:
            self._lines = [what]
        self.problems: dict[int, str] = {}
        """Of the chunks that count."""
        self._good = 1
        """Lines that count: the first, and those of chunks that hold the same rows as now."""
        self._written = False

    @property
    def empty(self) -> bool:
        """Whether no chunk is done."""
        return len(self._lines) == 1

    def has(self, key: str) -> bool:
        """Whether the next chunk is done, in order; what comes after one that is not counts no more."""
        if self._written or len(self._lines) <= self._good or self._lines[self._good].get("chunk") != key:
            return False
        self._count(self._lines[self._good])
        return True

    def cut(self) -> None:
        """What comes after the chunks that count is not done: before its vectors are written over."""
        if not self._written:
            atomic_write(self._file, "".join(map(_line, self._lines[: self._good])))
            self._written = True

    def add(self, key: str, problems: dict[int, str]) -> None:
        """The next chunk is done, after :meth:`cut`."""
        line = {"chunk": key, "problems": {str(row): why for row, why in sorted(problems.items())}}
        with self._file.open("a", encoding="utf-8") as lines:
            lines.write(_line(line))
        self._count(line)

    def _count(self, line: dict[str, Any]) -> None:
        self._good += 1
        self.problems |= {int(row): str(why) for row, why in line["problems"].items()}


def _line(value: dict[str, Any]) -> str:
    return json.dumps(value, ensure_ascii=False) + "\n"


def _read_lines(file: Path) -> list[dict[str, Any]]:
    """Lines of a journal to the first that is cut or damaged; none where there is no journal."""
    found = []
    try:
        with file.open(encoding="utf-8") as lines:
            for line in lines:
                found.append(json_value(line))
    except (OSError, ValueError):
        pass
    return found


def encode_pairs(pairs: Pairs, model: str | Path, folder: str | Path, progress: bool | None = None) -> PairVectors:
    """Encode every row, or those that ``folder`` does not hold yet.

    Args:
        pairs: images and titles.
        model: directory of a retrieval model.
        folder: for the vectors; nobody else writes there.
        progress: show a bar; None: where the logger ``interbert`` logs at INFO.

    Raises:
        CheckpointError: there is no retrieval model, or it has no vectors.
        BusyError: another command writes ``folder``.
        DataError: a file of ``folder`` is damaged.
        StorageError: the disk is full; what was encoded stays.
    """
    encoder = ProductEncoder.load(model)
    encoder.require_recall()
    place = Path(folder)
    what = {"model": model_fingerprint(model), "rows": len(pairs), "size": encoder.vector_size, "chunk": CHUNK_ROWS}
    with writing(place), only_writer(place):
        place.mkdir(parents=True, exist_ok=True)
        journal = _Journal(place / _JOURNAL, what)
        text, image = (_opened(place / name, what, not journal.empty) for name in (_TEXT, _IMAGE))
        with progress_bar("encoding", len(pairs), "pairs", progress) as advance:
            for start in range(0, len(pairs), CHUNK_ROWS):
                rows = range(start, min(start + CHUNK_ROWS, len(pairs)))
                content = [pairs[row] for row in rows]
                if not journal.has(key := _key(content)):
                    journal.cut()
                    found = _encode(encoder, content)
                    text[start : rows.stop], image[start : rows.stop] = found.text, found.image
                    text.flush()
                    image.flush()
                    journal.add(key, {start + row: why for row, why in found.problems.items()})
                advance(len(rows))
    return PairVectors(text, image, journal.problems)


def _encode(encoder: ProductEncoder, content: Sequence[tuple[bytes, str]]) -> PairVectors:
    """Vectors of rows in memory."""
    text, image = np.full((2, len(content), encoder.vector_size), np.nan, np.float32)
    problems: dict[int, str] = {}
    titles = [title for _, title in content]
    ids = encoder.processor.texts_to_ids(titles) if titles else []
    known = [row for row, own in enumerate(ids) if titles[row].strip() and encoder.knows(own)]
    text[known] = encoder.text_vectors([ids[row] for row in known])
    problems |= dict.fromkeys(set(range(len(content))) - set(known), "the title holds no word that the model knows")
    regions = KnownRegions(encoder)
    for chunk in decode_ahead(_Items(content), range(len(content))):
        problems |= {one.item.row: _reason(one.problem) for one in chunk if one.problem is not None}
        usable = [one for one in chunk if one.image is not None]
        sound = []
        for one, views in zip(usable, regions.of(usable), strict=True):
            if isinstance(views, RegionError):
                problems[one.item.row] = _reason(str(views))
            else:
                sound.append((one.item, views))
        if sound:
            rows = [item.row for item, _ in sound]
            image[rows], _ = encoder.views([views for _, views in sound], [item.where for item, _ in sound])
    return PairVectors(text, image, problems)


@dataclass(frozen=True)
class _Items:
    """Rows in memory as the decoder takes them."""

    content: Sequence[tuple[bytes, str]]

    def __getitem__(self, row: int) -> SourceItem:
        data, title = self.content[row]
        return SourceItem(row, _WHERE, data, None, (title,), ("title",), str(row), str(row))


_WHERE = "image"


def _reason(problem: str) -> str:
    """A problem without the row, which its list names."""
    return problem.removeprefix(f"{_WHERE}: ")


def _key(content: Sequence[tuple[bytes, str]]) -> str:
    """Identifies what a chunk holds."""
    whole = hashlib.sha256()
    for data, title in content:
        for part in (data, title.encode("utf-8", "surrogatepass")):
            whole.update(hashlib.sha256(part).digest())
    return whole.hexdigest()[:32]


def _opened(file: Path, what: dict[str, Any], go_on: bool) -> np.memmap[Any, np.dtype[np.float32]]:
    """The vectors' file: that of the run before, or a new one."""
    shape = (what["rows"], what["size"])
    if go_on:
        with contextlib.suppress(OSError, ValueError):
            found = np.lib.format.open_memmap(file, "r+")
            if found.shape == shape and found.dtype == np.float32:
                return found
        raise DataError(f"{file}: is missing or damaged. Remove its folder and run the same command again.")
    with replacing(file) as part:
        made = np.lib.format.open_memmap(part, "w+", np.float32, shape)
        made.flush()
        with part.open("r+b") as whole:  # a map that finds the disk full ends the process; this says it
            os.posix_fallocate(whole.fileno(), 0, part.stat().st_size)
    return np.lib.format.open_memmap(file, "r+")
