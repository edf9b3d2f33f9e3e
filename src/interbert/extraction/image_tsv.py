"""Images in base64, a line each, urlsafe or not: MUGE's ``id<TAB>image``, and OFA's five columns ``uniq-id<TAB>
image-id<TAB>caption<TAB>labels<TAB>image``.

OFA repeats an image for each of its captions: the lines of an image are one row with all its captions.
"""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from array import array
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from interbert.errors import RegionError, SourceError
from interbert.extraction.images import MAX_FILE
from interbert.regions.importers.fields import from_base64

MAX_IMAGE = MAX_FILE
"""Bytes of an image's file inside a packed one, as of any other."""


class ArchiveRows(ABC):
    """Rows by number, columns by name; what :class:`interbert.extraction.sources.ImageSource` reads."""

    column_names: Sequence[str]
    image_id: str
    """The column with an id that is unique per image."""
    repeated = "An id names one image"
    """What to say where it is not."""

    @abstractmethod
    def __len__(self) -> int:
        """Number of rows."""

    @abstractmethod
    def value(self, row: int, column: str) -> Any:
        """One cell; an image that cannot be had is ``{"problem": why}``."""

    def __getitem__(self, key: int | slice | str) -> Any:
        if isinstance(key, str):
            return _Column(self, key)
        if isinstance(key, slice):
            rows = range(*key.indices(len(self)))
            return {name: [self.value(row, name) for row in rows] for name in self.column_names}
        if not 0 <= key < len(self):
            raise IndexError(key)
        return {name: self.value(key, name) for name in self.column_names}

    def select_columns(self, names: Sequence[str]) -> ArchiveRows:
        """The same rows with only these columns."""
        return _Selected(self, names)


class _Selected(ArchiveRows):
    def __init__(self, rows: ArchiveRows, names: Sequence[str]) -> None:
        self._rows, self.column_names, self.image_id = rows, tuple(names), rows.image_id

    def __len__(self) -> int:
        return len(self._rows)

    def value(self, row: int, column: str) -> Any:
        return self._rows.value(row, column)


class _Column:
    def __init__(self, rows: ArchiveRows, name: str) -> None:
        self._rows, self._name = rows, name

    def __len__(self) -> int:
        return len(self._rows)

    def __iter__(self) -> Iterator[Any]:
        return (self._rows.value(row, self._name) for row in range(len(self._rows)))

    def __getitem__(self, row: int) -> Any:
        return self._rows.value(row, self._name)


_MAX_HEAD = 1 << 16
"""Bytes of what stands before an image."""
_MAX_LINE = MAX_IMAGE * 4 // 3
_IMAGES = (b"\xff\xd8\xff", b"\x89PNG", b"GIF8", b"RIFF", b"BM", b"II*\0", b"MM\0*")
_SAMPLE = 20
_COLUMNS = {2: ("image_id", "image"), 5: ("image_id", "image", "caption", "labels")}
"""Columns of a source by the cells of a line."""
_CAPTIONS = "&&"
"""Between captions, in OFA's validation and test files."""


def is_image_tsv(file: Path) -> bool:
    """Whether one of a file's first lines ends in an image in base64.

    Raises:
        SourceError: it does, but has another number of cells than the lines of a known kind.
    """
    cells = _image_cells(file)
    if cells and cells not in _COLUMNS:
        raise SourceError(
            f"{file}: its lines have {cells} cells, the last an image in base64. 2 are read (id, image), or 5 "
            "(uniq-id, image-id, caption, labels, image)."
        )
    return cells > 0


def _image_cells(file: Path) -> int:
    """Cells of the first line that ends in an image; 0 without one."""
    with file.open("rb") as lines:
        for _ in range(_SAMPLE):
            line = lines.readline(_MAX_LINE)
            if not line:
                break
            cells = line.rstrip(b"\r\n").split(b"\t")
            if len(cells) > 1 and _begins_as_image(cells[-1][:64]):
                return len(cells)
    return 0


def _begins_as_image(encoded: bytes) -> bool:
    try:
        return from_base64(encoded[: len(encoded) // 4 * 4], "", "", urlsafe=True).startswith(_IMAGES)
    except RegionError:
        return False


class ImageTsv(ArchiveRows):
    """Lines of one or several files; what is kept in memory is where each begins.

    A line that cannot be read is a row that says so.

    Raises:
        SourceError: a file cannot be read, or its lines are of another kind than those of the first.
    """

    image_id = "image_id"

    def __init__(self, files: Sequence[Path]) -> None:
        self._files = list(files)
        self._places = array("Q")  # of each line: file, offset, length
        self._rows = array("Q")  # of each row: its first line
        self._next = array("Q")  # of each line: the next one of its row, 0 for none
        self._problems: dict[int, str] = {}  # of lines
        known: dict[bytes, tuple[int, bytes]] = {}  # of each id: its last line, and a digest of the image
        try:
            kinds = [_image_cells(file) for file in files]
            if len(set(kinds)) > 1:
                other = next(place for place, cells in enumerate(kinds) if cells != kinds[0])
                raise SourceError(
                    f"{files[other]}: its lines have {kinds[other]} cells, those of {files[0].name} {kinds[0]}. Give "
                    "files of one kind."
                )
            self._cells = kinds[0]
            self.column_names = _COLUMNS[self._cells]
            for number, file in enumerate(files):
                self._index(number, file, known)
        except OSError as error:
            raise SourceError(f"{files[0]}: cannot be read ({error.strerror}).") from error

    def _index(self, number: int, file: Path, known: dict[bytes, tuple[int, bytes]]) -> None:
        for offset, length, head, digest in _lines(file):
            line = len(self._places) // 3
            self._places.extend((number, offset, length))
            self._next.append(0)
            cells = head.split(b"\t")
            if len(cells) < self._cells and len(head) == _MAX_HEAD:
                self._problems[line] = f"what stands before the image has more than {_MAX_HEAD:,} bytes"
            elif len(cells) < self._cells:
                self._problems[line] = f"the line has {len(cells)} cells, not {self._cells}"
            elif before := known.get(name := cells[self._id_cell].strip()):
                if before[1] == digest:
                    self._next[before[0]] = line
                    known[name] = line, digest
                    continue
                shown = name.decode("utf-8", "replace")[:60]
                self._problems[line] = f"another image has its id {shown!r}"
            else:
                known[name] = line, digest
            self._rows.append(line)

    @property
    def _id_cell(self) -> int:
        return 0 if self._cells == 2 else 1

    def __len__(self) -> int:
        return len(self._rows)

    def value(self, row: int, column: str) -> Any:
        """The id as text, the captions, the labels, or the image's bytes."""
        line = self._rows[row]
        if line in self._problems:
            if column == self.image_id:
                return f"line at byte {self._places[3 * line + 1]} of {self._files[self._places[3 * line]].name}"
            return {"problem": self._problems[line]} if column == "image" else None
        if column == "image":
            return self._image(line)
        if column == "caption":
            cells = [self._cell(one, 2) for one in self._lines_of(line)]
            return [caption for cell in cells for caption in cell.split(_CAPTIONS)]
        return self._cell(line, self._id_cell if column == self.image_id else 3)

    def _lines_of(self, line: int) -> Iterator[int]:
        yield line
        while line := self._next[line]:
            yield line

    def _read(self, line: int, most: int) -> bytes:
        number, offset, length = self._places[3 * line : 3 * line + 3]
        with self._files[number].open("rb") as stream:
            stream.seek(offset)
            return stream.read(min(length, most))

    def _cell(self, line: int, cell: int) -> str:
        return self._read(line, _MAX_HEAD).split(b"\t", self._cells - 1)[cell].decode("utf-8", "replace").strip()

    def _image(self, line: int) -> Any:
        length = self._places[3 * line + 2]
        if length > _MAX_LINE:
            return {"problem": f"the line has {length:,} bytes; at most {_MAX_LINE:,} are read"}
        encoded = self._read(line, length).rstrip(b"\r\n").split(b"\t", self._cells - 1)[-1]
        try:
            return from_base64(encoded, "the image", "", urlsafe=True)
        except RegionError as error:
            return {"problem": str(error).removeprefix(": ").rstrip(".")}


def _lines(file: Path) -> Iterator[tuple[int, int, bytes, bytes]]:
    """Offset, length, first bytes and a digest of the last cell of every line that is not empty."""
    with file.open("rb") as lines:
        offset = start = 0
        head, digest = b"", hashlib.blake2b(digest_size=16)
        while piece := lines.readline(1 << 20):
            plain = piece.rstrip(b"\r\n")
            if offset == start:
                head, digest = plain[:_MAX_HEAD], hashlib.blake2b(plain.rpartition(b"\t")[2], digest_size=16)
            else:
                digest.update(plain)
            offset += len(piece)
            if piece.endswith(b"\n"):
                if plain or offset - start > 2:
                    yield start, offset - start, head, digest.digest()
                start = offset
        if offset > start:
            yield start, offset - start, head, digest.digest()
