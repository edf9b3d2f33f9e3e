"""Evaluation sets that a data set must not contain: what is read of them, and which rows are in one.

A set is what images and texts are read from anywhere, or texts alone: judgements (qrels), queries or captions with
named columns, or a text file with a text a line.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from interbert.curation.groups import group_rows
from interbert.curation.reasons import Reason
from interbert.data.row_files import read_rows
from interbert.errors import ColumnError, ImageError, SourceError
from interbert.extraction.columns import TEXT_NAMES
from interbert.extraction.decoding import with_bytes
from interbert.extraction.sources import ImageSource, SourceItem, open_source
from interbert.utils.bounded_files import read_small_text

LEAK_IMAGE, LEAK_TITLE = "leak_image", "leak_title"
"""Names of the rules."""

_TEXT_NAMES = ("title", "caption", "text", "query", "sentence", "description", "displayname")
"""A column of texts has one of these in its name."""
_WHOLE_NAMES = frozenset((*TEXT_NAMES, "query_text"))
"""What such a column is called in a .txt, whose first line may as well be a text."""
_MOST_NAMED = 100
"""Lines of a file that cannot be read, beyond which they are counted."""
_MOST_BYTES = 1 << 30
"""Of a text file with a text a line."""

Fingerprint = Callable[[bytes], tuple[bytes, bytes]]
"""An image's file -> its SHA-256, and its perceptual hash; that is empty where the image cannot be read."""


@dataclass
class EvaluationSets:
    """What all sets hold. Shapes: T distinct texts, M images with a perceptual hash."""

    texts: list[str] = field(default_factory=list)
    """[T] normalised as the titles are."""
    digests: dict[bytes, str] = field(default_factory=dict)
    """Place of each image's file, such as ``test.parquet, row 3``, by its SHA-256."""
    problems: list[str] = field(default_factory=list)
    """Images and rows of texts that could not be read, and so are not looked for, in words."""
    text_places: list[str] = field(default_factory=list)
    """[T]"""
    image_places: list[str] = field(default_factory=list)
    """[M]"""
    _hashes: list[bytes] = field(default_factory=list)
    _images: list[tuple[ImageSource, int]] = field(default_factory=list)
    _known: dict[str, int] = field(default_factory=dict)

    @property
    def hashes(self) -> NDArray[np.uint8]:
        """[M, bytes of a hash]"""
        size = len(self._hashes[0]) if self._hashes else 0
        return np.frombuffer(b"".join(self._hashes), np.uint8).reshape(len(self._hashes), size)

    def load(self, image: int) -> bytes:
        """File of an image, by its place in ``hashes``."""
        source, row = self._images[image]
        item = with_bytes(source[row])
        if not isinstance(item.data, bytes):
            raise ImageError(f"{item.where}: was there when it was read, and is no more. Put it back.")
        return item.data

    def add_text(self, text: str, place: str) -> None:
        """A text as normalised; an empty one is none."""
        if text and text not in self._known:
            self._known[text] = len(self.texts)
            self.texts.append(text)
            self.text_places.append(place)

    def place_of(self, text: str) -> str | None:
        """Where a text is from; None when it is in no set."""
        found = self._known.get(text)
        return None if found is None else self.text_places[found]

    def add_image(self, source: ImageSource, row: int, item: SourceItem, fingerprint: Fingerprint) -> None:
        """An image, read once; one that cannot be used is a problem."""
        item = with_bytes(item)
        if not isinstance(item.data, bytes):
            self.problems.append(f"{item.where}: {item.problem}")
            return
        digest, shape = fingerprint(item.data)
        if digest in self.digests:
            return
        self.digests[digest] = item.where
        if shape:
            self._hashes.append(shape)
            self.image_places.append(item.where)
            self._images.append((source, row))
        else:
            self.problems.append(f"{item.where}: cannot be read as an image; only the same file is looked for")


def read_evaluation_sets(
    paths: Sequence[str], normalise: Callable[[str], str], fingerprint: Fingerprint
) -> EvaluationSets:
    """Read what must not be in the data set.

    Args:
        paths: of the sets.
        normalise: makes of a text what it would be as a title of the data set; "" for none.
        fingerprint: of an image's file.

    Raises:
        SourceError: a set is missing, empty, or nothing that can be read.
    """
    found = EvaluationSets()
    for path in paths:
        empty = True
        for text, place in _read_set(path, found, fingerprint):
            empty = False
            found.add_text(normalise(text), place)
        if empty and not any(place.startswith(f"{path}, ") for place in found.digests.values()):
            raise SourceError(f"{path}: holds no text and no image to look for. Name an evaluation set.")
    return found


def _read_set(path: str, found: EvaluationSets, fingerprint: Fingerprint) -> Iterator[tuple[str, str]]:
    """Texts of a set with their places; its images are added on the way."""
    try:
        source = open_source(path, need_texts=False)
    except (SourceError, ColumnError) as error:
        yield from read_texts(path, error, found.problems)
        return
    for row in range(len(source)):
        item = source[row]
        found.add_image(source, row, item, fingerprint)
        yield from ((text, item.where) for text in item.texts)
    yield from further_texts(source)


def further_texts(source: ImageSource) -> Iterator[tuple[str, str]]:
    """Texts of other columns: whoever evaluates may use any."""
    known = (*source.columns.texts, source.columns.image, *source.left_out)
    for name in source.column_names:
        if name not in known and _is_text_name(name):
            cells = source.other_columns([name])[name].to_pylist()
            yield from _texts_of(cells, lambda row: f"{source.name}, row {row}")


def read_texts(path: str, error: SourceError, problems: list[str]) -> Iterator[tuple[str, str]]:
    """Texts of a file without images; ``error`` says why there are none, for what is no such file either."""
    file = Path(path)
    if not file.is_file():
        raise error
    try:
        if file.suffix.lower() == ".txt" and not _has_names(file):
            rows = list(_texts_of(_lines(file), lambda row: f"{path}, line {row + 1}"))
        else:
            rows = list(_named_texts(file, problems))
    except SourceError as other:
        raise SourceError(f"{path}: is no evaluation set that can be read. {error} As texts alone: {other}") from other
    if rows:
        yield from rows
    elif file.suffix.lower() != ".txt":
        raise SourceError(
            f"{path}: no column is of texts. Name one title, caption, text or query, or give a .txt with a text a line."
        )


def _has_names(file: Path) -> bool:
    """Whether the first line of a text file names columns: a text may hold any of the words."""
    first = next(iter(_lines(file)), "")
    return any(cell.strip().lower() in _WHOLE_NAMES for cell in first.split("\t"))


def _named_texts(file: Path, problems: list[str]) -> Iterator[tuple[str, str]]:
    """Texts of the columns whose names say so."""
    bad = 0
    for number, row in read_rows(file, "texts"):
        if isinstance(row, str):
            bad += 1
            if bad <= _MOST_NAMED:
                problems.append(f"{file}, line {number}: {row}")
            continue
        cells = [value for name, value in row.items() if _is_text_name(str(name))]
        yield from _texts_of(cells, lambda _, number=number: f"{file}, line {number}")  # type: ignore[misc]
    if bad > _MOST_NAMED:
        problems.append(f"{file}: {bad - _MOST_NAMED:,} further lines that cannot be read")


def _lines(file: Path) -> list[str]:
    try:
        return read_small_text(file, _MOST_BYTES).splitlines()
    except (OSError, ValueError) as error:
        raise SourceError(f"{file}: cannot be read as text in UTF-8 ({error}).") from error


def _texts_of(cells: Sequence[Any], place: Callable[[int], str]) -> Iterator[tuple[str, str]]:
    for row, cell in enumerate(cells):
        for text in cell if isinstance(cell, list | tuple) else [cell]:
            if isinstance(text, str) and text.strip():
                yield text, place(row)


def _is_text_name(name: str) -> bool:
    lowered = name.lower()
    return any(one in lowered for one in _TEXT_NAMES) and not lowered.endswith(("id", "ids"))


def leaked_rows(
    titles: Sequence[str],
    digests: Sequence[bytes | None],
    sets: EvaluationSets,
    title_pairs: NDArray[np.int64] | None = None,
    image_pairs: NDArray[np.int64] | None = None,
) -> dict[int, Reason]:
    """Rows that are in an evaluation set, by their own image or title or over a chain of near-duplicates.

    A chain counts as in groups: what is near a row that is near an evaluation image would be the next leak.

    Args:
        titles: [N] clean.
        digests: [N] SHA-256 of each image's file; None for a row without one.
        sets: what to look for.
        title_pairs: [P, 2] near titles of ``[*titles, *sets.texts]``, from the pass that makes groups; None: exact
            titles alone.
        image_pairs: [P, 2] near images, rows first and then those of ``sets.hashes``.
    """
    found: dict[int, Reason] = {}
    near_titles = _near(titles, sets.text_places, title_pairs)
    found |= {row: Reason(LEAK_TITLE, f"near title of {place}") for row, place in near_titles.items()}
    for row, title in enumerate(titles):
        if (place := sets.place_of(title)) is not None:
            found[row] = Reason(LEAK_TITLE, f"title of {place}")
    near_images = _near(digests, sets.image_places, image_pairs)
    found |= {row: Reason(LEAK_IMAGE, f"near image of {place}") for row, place in near_images.items()}
    for row, digest in enumerate(digests):
        if digest is not None and (place := sets.digests.get(digest)) is not None:
            found[row] = Reason(LEAK_IMAGE, f"image of {place}")
    return dict(sorted(found.items()))


def _near(rows: Sequence[Any], places: Sequence[str], pairs: NDArray[np.int64] | None) -> dict[int, str]:
    """Rows in the group of something of a set, with the place of the first such."""
    if pairs is None or not len(pairs):
        return {}
    groups = group_rows(len(rows) + len(places), pairs)
    of_sets = groups[len(rows) :]
    first = dict(zip(of_sets[::-1].tolist(), reversed(places), strict=True))
    leaked = np.flatnonzero(np.isin(groups[: len(rows)], of_sets)).tolist()
    return {row: first[int(groups[row])] for row in leaked}
