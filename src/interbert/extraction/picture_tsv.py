"""MUGE's and OFA's picture files: a line is ``id<TAB>picture`` in base64, urlsafe or not."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from interbert.errors import RegionError, SourceError
from interbert.extraction.packed_rows import MAX_PICTURE, PackedRows
from interbert.regions.importers.fields import from_base64

_MAX_ID = 1000
_MAX_LINE = MAX_PICTURE * 4 // 3
_PICTURES = (b"\xff\xd8\xff", b"\x89PNG", b"GIF8", b"RIFF", b"BM", b"II*\0", b"MM\0*")
_SAMPLE = 20


def is_picture_tsv(file: Path) -> bool:
    """Whether one of a file's first lines is an id and a picture in base64."""
    with file.open("rb") as lines:
        for _ in range(_SAMPLE):
            line = lines.readline(_MAX_LINE)
            if not line:
                return False
            cells = line.rstrip(b"\r\n").split(b"\t")
            if len(cells) == 2 and _begins_as_picture(cells[1][:64]):
                return True
    return False


def _begins_as_picture(encoded: bytes) -> bool:
    try:
        return from_base64(encoded[: len(encoded) // 4 * 4], "", "", urlsafe=True).startswith(_PICTURES)
    except RegionError:
        return False


class PictureTsv(PackedRows):
    """Lines of one or several files; what is kept in memory is where each begins.

    Raises:
        SourceError: a file cannot be read.
    """

    column_names = ("image_id", "image")
    picture_id = "image_id"

    def __init__(self, files: Sequence[Path]) -> None:
        self._files = list(files)
        self._places = array("Q")  # file, offset, length
        try:
            for number, file in enumerate(files):
                self._index(number, file)
        except OSError as error:
            raise SourceError(f"{files[0]}: cannot be read ({error.strerror}).") from error

    def _index(self, number: int, file: Path) -> None:
        with file.open("rb") as lines:
            offset = start = 0
            while piece := lines.readline(1 << 20):
                offset += len(piece)
                if piece.endswith(b"\n"):
                    if offset - start > 2:
                        self._places.extend((number, start, offset - start))
                    start = offset
            if offset > start:
                self._places.extend((number, start, offset - start))

    def __len__(self) -> int:
        return len(self._places) // 3

    def value(self, row: int, column: str) -> Any:
        """The id as text, or the picture's bytes."""
        number, offset, length = self._places[3 * row : 3 * row + 3]
        with self._files[number].open("rb") as stream:
            stream.seek(offset)
            head = stream.read(min(length, _MAX_ID + 1))
            name, tab, begun = head.partition(b"\t")
            if column == self.picture_id:
                return name.decode("utf-8", "replace").strip() if tab else f"line without an id at byte {offset}"
            if not tab:
                return {"problem": "the line is no id and picture"}
            if length > _MAX_LINE:
                return {"problem": f"the line has {length:,} bytes; at most {_MAX_LINE:,} are read"}
            encoded = begun + stream.read(length - len(head))
        try:
            return from_base64(encoded.rstrip(b"\r\n"), "the picture", "", urlsafe=True)
        except RegionError as error:
            return {"problem": str(error).removeprefix(": ").rstrip(".")}
