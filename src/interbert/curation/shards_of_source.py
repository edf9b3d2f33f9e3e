"""The files of a source one by one, so that one that is cut off costs its own rows and no others.

Each is read by :func:`interbert.extraction.tables.read_rows`, by MUGE's or by img2dataset's reader.
"""

from __future__ import annotations

import glob
import hashlib
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from interbert.curation.img2dataset import Img2datasetRows, parts_of_table
from interbert.curation.muge import MugeRows, muge_files, muge_splits
from interbert.errors import SourceError
from interbert.extraction.image_tsv import ArchiveRows
from interbert.extraction.images import IMAGE_SUFFIXES
from interbert.extraction.tables import SourceRows, read_rows

_TABLES = (".csv", ".tsv", ".json", ".jsonl")
_WHOLE = ("dataset_info.json", "dataset_dict.json", "metadata.csv", "metadata.jsonl", "metadata.parquet")
_END = 1 << 20
_OPEN = 64
"""Shards that are held open: a table of text is read anew when it is opened again."""


@dataclass(frozen=True)
class SourceShard:
    """A file of a source, or a source that is one whole."""

    name: str
    """For messages, without the folder's path."""
    path: str
    kind: str = "table"
    """``table``, ``img2dataset`` or ``muge``."""
    split: str | None = None

    def read(self) -> SourceRows:
        """Its rows.

        Raises:
            SourceError: it cannot be read.
        """
        if self.kind == "muge":
            return SourceRows(MugeRows(*muge_files(Path(self.path), self.split)), Path(self.path))
        if self.kind == "img2dataset":
            return SourceRows(Img2datasetRows(Path(self.path)), Path(self.path).parent)
        return read_rows(self.path, self.split)


class OpenShards:
    """Shards by number, the last ones used held open."""

    def __init__(self, shards: Sequence[SourceShard]) -> None:
        self.shards = list(shards)
        self._open: OrderedDict[int, SourceRows] = OrderedDict()

    def rows(self, number: int) -> SourceRows:
        """The rows of a shard.

        Raises:
            SourceError: it cannot be read.
        """
        if number not in self._open:
            self._open[number] = self.shards[number].read()
            if len(self._open) > _OPEN:
                self._open.popitem(last=False)
        self._open.move_to_end(number)
        return self._open[number]


def list_shards(source: str, split: str | None = None) -> list[SourceShard]:
    """The shards of a source, in the order of their names.

    Args:
        source: file, glob, folder or Hub id.
        split: of a Hub data set, a saved one, or MUGE's files.

    Raises:
        SourceError: there is nothing of that name.
    """
    path = Path(source).expanduser()
    if path.is_dir():
        return _of_folder(path, split)
    if path.is_file():
        return [_of_file(path, path.parent)]
    if any(sign in source for sign in "*?["):
        files = [Path(name) for name in sorted(glob.glob(str(path), recursive=True))]
        if not files:
            raise SourceError(f"{source}: matches no file.")
        taken = parts_of_table(files)
        common = Path(*_common(files))
        return [_of_file(file, common) for file in files if file not in taken]
    return [SourceShard(source, source, split=split)]


def _of_folder(folder: Path, split: str | None) -> list[SourceShard]:
    if muge_splits(folder):
        return [SourceShard(folder.name, str(folder), "muge", split)]
    if any((folder / name).is_file() for name in _WHOLE):
        return [SourceShard(folder.name, str(folder), split=split)]
    files = sorted(file for file in folder.iterdir() if file.is_file())
    for suffixes in ((".tar", ".parquet"), _TABLES):
        tables = [file for file in files if file.suffix.lower() in suffixes]
        if tables and (suffixes[0] == ".tar" or not _has_images(folder)):
            taken = parts_of_table(files)
            tars = [file for file in tables if file.suffix.lower() == ".tar"]
            wanted = tars or [file for file in tables if file not in taken]
            return [_of_file(file, folder) for file in wanted]
    return [SourceShard(folder.name, str(folder), split=split)]


def _of_file(file: Path, folder: Path) -> SourceShard:
    kind = "img2dataset" if Img2datasetRows.fits(file) else "table"
    return SourceShard(file.relative_to(folder).as_posix(), str(file), kind)


def _has_images(folder: Path) -> bool:
    return any(file.suffix.lower() in IMAGE_SUFFIXES for file in folder.rglob("*"))


def _common(files: Sequence[Path]) -> tuple[str, ...]:
    """Parts of the path that all files lie in."""
    parts = [file.parent.parts for file in files]
    least, most = min(parts), max(parts)
    same = next((place for place, one in enumerate(least) if most[place : place + 1] != (one,)), len(least))
    return least[:same]


def fingerprint(shards: Sequence[SourceShard], opened: OpenShards) -> str:
    """What a source is known by: names and sizes of its files, and their first and last MiB, wherever they lie.

    Of the images of a folder names and sizes alone; of a source that is no file, what ``datasets`` says.
    """
    known = hashlib.sha256()
    for number, shard in enumerate(shards):
        path = Path(shard.path).expanduser()
        if path.is_file():
            for file in (path, *Img2datasetRows.beside(path)):
                known.update(f"{shard.name}\t{file.name}\t{file.stat().st_size}\n".encode("utf-8", "replace"))
                known.update(_ends(file))
        elif path.is_dir():
            for file in sorted(one for one in path.rglob("*") if one.is_file()):
                name = file.relative_to(path).as_posix()
                known.update(f"{name}\t{file.stat().st_size}\n".encode("utf-8", "replace"))
                known.update(b"" if file.suffix.lower() in IMAGE_SUFFIXES else _ends(file))
        else:
            rows = opened.rows(number).rows
            known.update(f"{shard.path}\t{getattr(rows, '_fingerprint', len(rows))}\n".encode())
    return known.hexdigest()


def _ends(file: Path) -> bytes:
    """The first and the last MiB of a file."""
    with file.open("rb") as stream:
        first = stream.read(_END)
        stream.seek(max(0, file.stat().st_size - _END))
        return first + stream.read(_END)


def is_archive(rows: Any) -> bool:
    """Whether rows are read from an archive, cell by cell."""
    return isinstance(rows, ArchiveRows)
