"""Tar files of samples, as webdataset and img2dataset write them: ``KEY.jpg``, ``KEY.txt``, ``KEY.json``.

Files with one key that stand together are a sample. Its text is the ``.txt``, or ``caption`` in the ``.json``.

A key ends at the first dot of a file's name (webdataset: ``0001.seg.png`` belongs to sample ``0001``), unless no file
that stands there is ``KEY.jpg``, ``KEY.txt`` or ``KEY.json``, or the name with the dot has image and text of its own:
then the dot is part of the key (``shoe_v1.2.png``, ``shoe_v1.2.txt``).
"""

from __future__ import annotations

import os
from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from interbert.errors import SourceError
from interbert.extraction.columns import BUILT
from interbert.extraction.image_tsv import MAX_IMAGE, ArchiveRows
from interbert.extraction.images import IMAGE_SUFFIXES
from interbert.utils.bounded_files import json_value

_BLOCK = 512
_MAX_EXTENSION = 1 << 16
_MAX_TEXT = 1 << 20
_PARTS = ("image", "txt", "json")
_WIDTH = 1 + 2 * len(_PARTS)  # a sample's file, and offset and size of each part


@dataclass(frozen=True)
class _Member:
    name: str
    offset: int
    size: int


class DamagedTarError(ValueError):
    """The tar file is no tar file from here on."""


class TarRows(ArchiveRows):
    """Samples of one or several tar files; what is kept in memory is where each lies.

    A tar file that is damaged gives the samples before the damage, and one row that says so.

    Raises:
        SourceError: a file cannot be opened, or is compressed.
    """

    column_names: Sequence[str] = ("key", "image", "caption")
    image_id = "key"

    repeated = "The files of a sample must stand together in their tar file, under a name that no other sample has"

    def __init__(self, files: Sequence[Path]) -> None:
        self._files = list(files)
        self._places = array("Q")
        self._keys: list[str] = []
        self._problems: dict[int, str] = {}
        for number, file in enumerate(self._files):
            try:
                self._index(number, file)
            except OSError as error:
                raise SourceError(f"{file}: cannot be read ({error.strerror}).") from error
        if len(set(self._keys)) < len(self._keys):
            self._name_by_file()
        if self._keys and self.sidecar(0).keys() >= BUILT:
            self.column_names = (*self.column_names, *sorted(BUILT))

    def _name_by_file(self) -> None:
        """Shards that each count from 000000: a sample is called by its file and key."""
        stems = [file.stem for file in self._files]
        if len(set(stems)) < len(stems):
            common = os.path.commonpath([file.absolute().parent for file in self._files])
            stems = [file.absolute().relative_to(common).with_suffix("").as_posix() for file in self._files]
        self._keys = [f"{stems[self._places[_WIDTH * row]]}/{key}" for row, key in enumerate(self._keys)]

    def _index(self, number: int, file: Path) -> None:
        key, members = "", list[_Member]()
        with file.open("rb") as stream:
            try:
                for member in _members(stream, file.stat().st_size):
                    if _at_first_dot(member.name) != key:
                        self._add_samples(number, key, members)
                        key, members = _at_first_dot(member.name), []
                    members.append(member)
                self._add_samples(number, key, members)
            except DamagedTarError as error:
                self._add_samples(number, key, members)
                self._problems[len(self._keys)] = f"{file}: {error}; what follows in it is not read"
                self._add(number, f"{file.name}, damaged", {})

    def _add_samples(self, number: int, key: str, members: Sequence[_Member]) -> None:
        """Files whose names are the same up to the first dot: one sample, or several with dots in their keys."""
        own: dict[str, _Member] = {}
        dotted: dict[str, dict[str, _Member]] = {}
        further: list[_Member] = []
        for one in members:
            longer, extension = _at_last_dot(one.name)
            kind = _kind(extension)
            parts = own if longer == key else dotted.setdefault(longer, {})
            if kind is not None and parts.setdefault(kind, one) is not one and kind == "image":
                further.append(one)
        if own:
            self._add(number, key, own)
        for longer, parts in dotted.items():
            if not own or len(parts) > 1:
                self._add(number, longer, parts)
            elif "image" in parts:
                further.append(parts["image"])
        for one in further:
            self._problems[len(self._keys)] = (
                f"{one.name[-80:]!r} is not the image of its sample {key[-80:]!r}, but a further part of it"
            )
            self._add(number, one.name, {})

    def _add(self, number: int, key: str, parts: dict[str, _Member]) -> None:
        """A sample, or without parts a row that says what is wrong."""
        if parts or len(self._keys) in self._problems:
            self._keys.append(key)
            self._places.append(number)
            for name in _PARTS:
                member = parts.get(name)
                self._places.extend((0, 0) if member is None else (member.offset, member.size))

    def __len__(self) -> int:
        return len(self._keys)

    def value(self, row: int, column: str) -> Any:
        """The key, the image's bytes, or the caption (None when there is none)."""
        if column == "key":
            return self._keys[row]
        if row in self._problems:
            return {"problem": self._problems[row]} if column == "image" else None
        if column in BUILT:
            return self.sidecar(row).get(column)
        return self._image(row) if column == "image" else self._caption(row)

    def _part(self, row: int, part: str) -> tuple[Path, int, int]:
        place = _WIDTH * row
        number, first = self._places[place], place + 1 + 2 * _PARTS.index(part)
        return self._files[number], self._places[first], self._places[first + 1]

    def _image(self, row: int) -> Any:
        file, offset, size = self._part(row, "image")
        if not offset:
            return {"problem": "the sample has no image"}
        if self._long_text(row):
            return {"problem": f"its text has more than {_MAX_TEXT:,} bytes, which are not read"}
        if size > MAX_IMAGE:
            return {"problem": f"the image has {size:,} bytes; at most {MAX_IMAGE:,} are read"}
        return _read(file, offset, size) or {"problem": "the image is empty"}

    def _long_text(self, row: int) -> bool:
        """Whether the file that the caption stands in is larger than is read."""
        _, text, text_size = self._part(row, "txt")
        return (text_size if text else self._part(row, "json")[2]) > _MAX_TEXT

    def _caption(self, row: int) -> str | None:
        if self._long_text(row):
            return None
        file, offset, size = self._part(row, "txt")
        if offset:
            return _read(file, offset, size).decode("utf-8", "replace")
        caption = self.sidecar(row).get("caption")
        return caption if isinstance(caption, str) else None

    def sidecar(self, row: int) -> dict[str, Any]:
        """What a sample's ``.json`` says; nothing where there is none, or none that is read."""
        file, offset, size = self._part(row, "json")
        if row in self._problems or not offset or size > _MAX_TEXT:
            return {}
        try:
            found = json_value(_read(file, offset, size))
        except ValueError:
            return {}
        return found if isinstance(found, dict) else {}


def _at_first_dot(name: str) -> str:
    """A file's name without its extensions, with its folder."""
    folder, slash, base = name.rpartition("/")
    return folder + slash + base.partition(".")[0]


def _at_last_dot(name: str) -> tuple[str, str]:
    """A file's name without its last extension, with its folder; and that extension."""
    folder, slash, base = name.rpartition("/")
    stem, _, extension = base.rpartition(".")
    return folder + slash + stem, extension


def _kind(extension: str) -> str | None:
    """What a sample's file is, None for what is not read."""
    lowered = extension.lower()
    if f".{lowered}" in IMAGE_SUFFIXES:
        return "image"
    return lowered if lowered in ("txt", "json") else None


def _read(file: Path, offset: int, size: int) -> bytes:
    with file.open("rb") as stream:
        stream.seek(offset)
        return stream.read(size)


def _members(stream: IO[bytes], size: int) -> Iterator[_Member]:
    """The plain files of a tar, in order; names of GNU's and POSIX's long forms are understood.

    Raises:
        DamagedTarError: a header is none, or a file ends behind the tar's end.
    """
    offset, name, length = 0, None, None
    while True:
        stream.seek(offset)
        header = stream.read(_BLOCK)
        if header == bytes(_BLOCK):
            return
        if len(header) < _BLOCK:
            raise DamagedTarError(f"is cut off at byte {offset:,}")
        member, kind = _header(header, offset)
        if length is not None:
            member = _Member(member.name, member.offset, length)
        if member.offset + member.size > size:
            raise DamagedTarError(f"is cut off: {member.name[:80]!r} at byte {offset:,} ends behind the file's end")
        offset = member.offset + (member.size + _BLOCK - 1) // _BLOCK * _BLOCK
        if kind in b"Lx":
            if member.size > _MAX_EXTENSION:
                raise DamagedTarError(f"has a name of {member.size:,} bytes at byte {offset:,}")
            stream.seek(member.offset)
            name, length = _extension(stream.read(member.size), kind, name, length)
            continue
        if kind in b"0\0":
            yield member if name is None else _Member(name, member.offset, member.size)
        name, length = None, None


def _header(header: bytes, offset: int) -> tuple[_Member, bytes]:
    try:
        stated = int(header[148:156].strip(b" \0") or b"-1", 8)
        field = header[124:136]
        size = int.from_bytes(field[4:], "big") if field[0] & 0x80 else int(field.strip(b" \0") or b"0", 8)
    except ValueError as error:
        raise DamagedTarError(f"has no header at byte {offset:,}") from error
    if stated != sum(header[:148]) + 8 * ord(" ") + sum(header[156:]) or size < 0:
        raise DamagedTarError(f"has a damaged header at byte {offset:,}")
    name = header[:100].split(b"\0")[0]
    prefix = header[345:500].split(b"\0")[0] if header[257:262] == b"ustar" and header[263:265] == b"00" else b""
    whole = (prefix + b"/" + name if prefix else name).decode("utf-8", "replace")
    return _Member(whole, offset + _BLOCK, size), header[156:157]


def _extension(content: bytes, kind: bytes, name: str | None, length: int | None) -> tuple[str | None, int | None]:
    """Name and size out of a long name (L) or a POSIX extension (x)."""
    if kind == b"L":
        return content.split(b"\0")[0].decode("utf-8", "replace"), length
    for line in content.split(b"\n"):
        _, _, pair = line.partition(b" ")
        key, _, value = pair.partition(b"=")
        if key == b"path":
            name = value.decode("utf-8", "replace")
        elif key == b"size" and value.isdigit() and len(value) < 16:
            length = int(value)
    return name, length
