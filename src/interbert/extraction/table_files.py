"""Files and folders of tables: files whose columns differ as one table, and folders that ``datasets`` saved."""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from interbert.errors import SourceError, first_line
from interbert.utils.bounded_files import read_json


def join(files: Sequence[Path], parts: Sequence[Any]) -> tuple[Any, dict[str, str]]:
    """One ``datasets.Dataset`` of the rows of several.

    Types are unified: nothing with anything, narrow numbers with wide ones, integers with fractions, numbers with
    texts, which then are texts. Columns that do not fit together are left out.

    Args:
        files: for messages.
        parts: a ``datasets.Dataset`` each.

    Returns:
        the rows; and each column that was left out, with why.
    """
    import datasets
    import pyarrow as pa

    tables = [part.with_format("arrow")[:].replace_schema_metadata(None) for part in parts]
    left_out: dict[str, str] = {}
    for name in dict.fromkeys(name for table in tables for name in table.column_names):
        holding = [place for place, table in enumerate(tables) if name in table.column_names]
        columns = {place: tables[place][name] for place in holding}
        unified = _unified(columns)
        if unified is None:
            left_out[name] = _difference(files, columns)
        for place in holding:
            table, index = tables[place], tables[place].column_names.index(name)
            tables[place] = (
                table.remove_column(index) if unified is None else table.set_column(index, name, unified[place])
            )
    return datasets.Dataset(datasets.table.InMemoryTable(pa.concat_tables(tables, promote_options="default"))), left_out


def _unified(columns: Mapping[int, Any]) -> dict[int, Any] | None:
    """The columns in one type, None where there is none."""
    import pyarrow as pa

    wanted = None
    for column in columns.values():
        wanted = column.type if wanted is None else common_type(wanted, column.type)
        if wanted is None:
            return None
    try:
        return {place: cast_column(column, wanted) for place, column in columns.items()}
    except pa.ArrowInvalid:  # an integer that is no float without loss
        return None


def common_type(one: Any, other: Any) -> Any:
    """A type that holds the values of both."""
    import pyarrow as pa

    schemas = [pa.schema([("column", kind)]) for kind in (one, other)]
    try:
        return pa.unify_schemas(schemas, promote_options="permissive").field(0).type
    except (pa.ArrowTypeError, pa.ArrowInvalid):
        return pa.string() if _is_single(one) and _is_single(other) else None


def _is_single(kind: Any) -> bool:
    """A text, a number, a truth value or a date."""
    import pyarrow as pa

    texts = pa.types.is_string(kind) or pa.types.is_large_string(kind)
    numbers = pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind)
    return bool(texts or numbers or pa.types.is_boolean(kind) or pa.types.is_temporal(kind))


def cast_column(column: Any, wanted: Any) -> Any:
    """Values in another type, as they are written: 19.99 of any type is 19.99, and NaN, which is no number, is null."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if column.type == wanted:
        return column
    if pa.types.is_floating(column.type):
        if pa.types.is_float16(column.type):
            column = column.cast(pa.float32())
        column = pc.if_else(pc.is_nan(column), pa.scalar(None, column.type), column)
    if pa.types.is_string(wanted) and pa.types.is_floating(column.type):
        whole = pc.and_(pc.is_finite(column), pc.equal(column, pc.floor(column)))
        within = pc.less(pc.abs(column), pa.scalar(2.0**63).cast(column.type))
        integers = pc.if_else(pc.and_(whole, within), column, pa.scalar(None, column.type)).cast(pa.int64())
        return pc.coalesce(integers.cast(wanted), column.cast(wanted))  # 101.0, which a missing value made a float
    if pa.types.is_floating(wanted) and (pa.types.is_float32(column.type) or pa.types.is_decimal(column.type)):
        return column.cast(pa.string()).cast(wanted)
    return column.cast(wanted)


def _difference(files: Sequence[Path], columns: Mapping[int, Any]) -> str:
    kinds = {str(column.type): place for place, column in reversed(list(columns.items()))}
    told = [f"{_short(kind)} in {files[place].name}" for kind, place in reversed(list(kinds.items()))][:2]
    return f"is {' and '.join(told)}, which do not fit together"


def _short(text: str) -> str:
    return text if len(text) <= 60 else f"{text[:57]}..."


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
