"""What ``datasets`` saved or downloaded: files that its lists and cells name are its own, before they are opened.

Its ``load_from_disk`` joins the names in ``state.json`` and ``dataset_dict.json`` to the folder as they are written, so
that ``../`` and an absolute path open any file of the machine, and a link or a pipe whatever it leads to.
"""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

from interbert.bounded_files import read_json
from interbert.errors import SourceError, first_line

DICT, STATE, INFO = "dataset_dict.json", "state.json", "dataset_info.json"
MAX_LIST = 1 << 24
"""Bytes of one of these files; a data set of ten thousand files takes 1 MB."""
_MAX_SPLITS = 1000


def require_own_files(folder: Path) -> None:
    """Check that a saved data set is made of regular files inside its folder.

    Args:
        folder: with ``dataset_dict.json``, or with ``state.json`` and ``dataset_info.json``.

    Raises:
        SourceError: a list is missing, no JSON or too large, or names what is not inside, not there, or no file.
    """
    if not (folder / DICT).exists():
        _require_files(folder, folder)
        return
    splits = _read(folder, DICT, folder).get("splits")
    if not isinstance(splits, list) or len(splits) > _MAX_SPLITS or not all(isinstance(one, str) for one in splits):
        raise SourceError(f"{folder}: {DICT} has no list of at most {_MAX_SPLITS:,} splits.")
    for split in splits:
        if not _inside(folder, split, folder).is_dir():
            raise SourceError(f"{folder}: {DICT} names {split[:60]!r}, which is no folder in it. Is it complete?")
        _require_files(folder / split, folder)


def is_downloaded(path: str, source: str) -> bool:
    """Whether an image's path leads to a file that ``datasets`` downloaded for a data set of the Hub.

    Its owner can write any path into a cell, which would be a file of this machine.

    Args:
        path: of a cell without the image's bytes.
        source: the data set's id, ``owner/name``.
    """
    import datasets
    from huggingface_hub import constants
    from huggingface_hub.file_download import repo_folder_name

    try:
        own = Path(constants.HF_HUB_CACHE) / repo_folder_name(repo_id=source, repo_type="dataset")
        found = Path(path).resolve()
        folders = (own, Path(datasets.config.DOWNLOADED_DATASETS_PATH))
        inside = any(found.is_relative_to(one.resolve()) for one in folders)
        return Path(path).is_absolute() and inside and found.is_file()
    except (OSError, ValueError, RuntimeError):  # no id, or as in `_inside`
        return False


def _require_files(part: Path, folder: Path) -> None:
    """Check the files of one data set, which is the folder or one of its splits."""
    _read(part, INFO, folder)
    files = _read(part, STATE, folder).get("_data_files")
    if files == []:
        raise SourceError(f"{folder}: holds no rows.")
    for one in files if isinstance(files, list) else [None]:
        name = one.get("filename") if isinstance(one, dict) else None
        if not isinstance(name, str):
            raise SourceError(f"{folder}: {STATE} has no list of files.")
        _require_unpacked(_require_file(part, name, folder), folder)


def _require_unpacked(file: Path, folder: Path) -> None:
    """Check that an Arrow file's values lie in it as they are: packed ones, of which some kB may be gigabytes, are read
    whole where the file is opened. ``datasets`` packs none."""
    import pyarrow as pa

    try:
        with pa.memory_map(str(file)) as mapped:
            packed = any(map(_is_packed, pa.ipc.MessageReader.open_stream(mapped)))
    except (pa.ArrowException, OSError, struct.error) as error:
        raise SourceError(f"{folder}: {file.name} is no whole Arrow file ({first_line(error)}).") from error
    if packed:
        raise SourceError(f"{folder}: {file.name} has compressed values, which are not read. Save it with `datasets`.")


def _is_packed(message: Any) -> bool:
    """Whether a message of Arrow names a way of compression.

    Source: Message.fbs and Schema.fbs of Apache Arrow: ``Message.header`` is field 2, ``DictionaryBatch.data`` field 1,
    ``RecordBatch.compression`` field 3.
    """
    raw = message.metadata.to_pybytes()
    batch = _field(raw, struct.unpack_from("<I", raw)[0], 2)
    if message.type == "dictionary" and batch is not None:
        batch = _field(raw, batch, 1)
    return message.type in ("record batch", "dictionary") and batch is not None and _field(raw, batch, 3) is not None


def _field(raw: bytes, table: int, number: int) -> int | None:
    """Where the table lies that is a field of another, in a flatbuffer; None when the field is not there."""
    names = table - struct.unpack_from("<i", raw, table)[0]
    place = 4 + 2 * number
    (offset,) = (
        struct.unpack_from("<H", raw, names + place) if place < struct.unpack_from("<H", raw, names)[0] else (0,)
    )
    return table + offset + struct.unpack_from("<I", raw, table + offset)[0] if offset else None


def _require_file(part: Path, name: str, folder: Path) -> Path:
    path = _inside(part, name, folder)
    if not path.is_file():
        raise SourceError(f"{folder}: {name[:60]!r} is no regular file in it. Is it complete?")
    return path


def _inside(part: Path, name: str, folder: Path) -> Path:
    try:
        path = (part / name).resolve()
    except (OSError, ValueError, RuntimeError):  # too long, with a NUL, or a link to itself
        raise SourceError(f"{folder}: {name[:60]!r} is no path in it.") from None
    if not path.is_relative_to(folder.resolve()):
        raise SourceError(f"{folder}: it names {name[:60]!r}, which leads out of it. Such files are not opened.")
    return path


def _read(part: Path, name: str, folder: Path) -> dict[str, Any]:
    file = _require_file(part, name, folder)
    try:
        found = read_json(file, MAX_LIST)
    except (OSError, ValueError) as error:
        raise SourceError(f"{folder}: {name} is no JSON of names ({first_line(error)}). Is it complete?") from error
    if not isinstance(found, dict):
        raise SourceError(f"{folder}: {name} is no JSON of names. Is it complete?")
    return found
