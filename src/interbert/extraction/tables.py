"""Any table of rows: parquet, csv, json or jsonl files, folders, saved data sets and Hub ids, read by ``datasets``.

Pictures stay undecoded, as bytes or paths. Pictures packed into tsv and tar files are read by
:mod:`interbert.extraction.packed_rows`.
"""

from __future__ import annotations

import glob
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from interbert.errors import SourceError, first_line
from interbert.extraction.picture_tsv import PictureTsv, is_picture_tsv
from interbert.extraction.pictures import PICTURE_SUFFIXES
from interbert.extraction.tar_rows import TarRows

_BUILDERS = {".parquet": "parquet", ".csv": "csv", ".tsv": "csv", ".json": "json", ".jsonl": "json"}
_METADATA = ("metadata.csv", "metadata.jsonl", "metadata.parquet")


def read_rows(source: str, split: str | None = None) -> tuple[Any, Path | None]:
    """Rows of a source as a ``datasets.Dataset`` or ``PackedRows``, and the folder that paths in it are relative to
    (None: resolved).

    Args:
        source: file, glob, folder or Hub id.
        split: of a Hub data set or a saved one; None takes ``train``, or the only one.

    Raises:
        SourceError: it is missing, empty or unreadable.
    """
    rows, folder = _read(source, split)
    if not len(rows):
        raise SourceError(f"{source}: holds no rows.")
    return rows, folder


def _read(source: str, split: str | None) -> tuple[Any, Path | None]:
    if not source.strip():
        raise SourceError("the source is empty. Give a parquet, csv or jsonl file, a folder of pictures, or a Hub id.")
    path = Path(source).expanduser()
    if path.is_dir():
        return _read_folder(path, split)
    if path.is_file():
        return _read_files([path]), path.parent
    if source.count("/") == 1 and path.parent.is_dir():
        raise SourceError(f"{source}: there is no such file or folder in {path.parent}.")
    if any(sign in source for sign in "*?["):
        files = [Path(name) for name in sorted(glob.glob(str(path), recursive=True))]
        if not files:
            raise SourceError(f"{source}: matches no file.")
        return _read_files(files), files[0].parent
    if source.startswith((".", "/", "~")) or path.suffix.lower() in _BUILDERS or source.count("/") != 1:
        raise SourceError(
            f"{source}: there is no such file or folder. Give a parquet, csv or jsonl file, a folder of pictures, or a "
            "Hub id (owner/name)."
        )
    return _read_hub(source, split), None


def _read_files(files: Sequence[Path]) -> Any:
    kinds = {file.suffix.lower() for file in files}
    builders = {_BUILDERS.get(kind) for kind in kinds}
    builder = builders.pop() if len(builders) == 1 else None
    if builder is None and kinds != {".tar"}:
        raise SourceError(f"{files[0]}: files of this kind are not read; use {', '.join(_BUILDERS)}, .tar.")
    if any(file.stat().st_size == 0 for file in files):
        raise SourceError(f"{files[0]}: the file is empty.")
    if builder is None:
        return TarRows(files)
    if kinds == {".tsv"} and all(is_picture_tsv(file) for file in files):
        return PictureTsv(files)
    if builder == "json":
        _check_encoding(files)
    options: dict[str, Any] = {}
    if builder == "csv":  # cells as they are written: no numbers, no names that pandas takes for missing
        separator = _separator(files[0])
        options = {"sep": separator, "keep_default_na": False, "na_values": [""]}
        options["features"] = _text_columns(files[0], separator)
        _check_lengths(files, separator)
    escaped = [glob.escape(str(file)) for file in files]
    return _load(str(files[0]), builder, data_files=escaped, split="train", **options)


def _check_encoding(files: Sequence[Path]) -> None:
    """Refuse what is no UTF-8: it would come to light in the middle of the work.

    Raises:
        SourceError: naming the file.
    """
    for file in files:
        try:
            with file.open(encoding="utf-8-sig", newline="") as text:
                while text.read(1 << 20):
                    pass
        except UnicodeDecodeError as error:
            raise SourceError(f"{file}: is no text in UTF-8. Save it as UTF-8.") from error


def _check_lengths(files: Sequence[Path], separator: str) -> None:
    """Refuse rows with more cells than the header: a comma in a text would move everything after it.

    Raises:
        SourceError: naming file and line.
    """
    import csv

    for file in files:
        try:
            with file.open(encoding="utf-8-sig", newline="") as lines:
                rows = csv.reader(lines, delimiter=separator)
                header = next(rows, [])
                for row in rows:
                    if len(row) > len(header):
                        raise SourceError(
                            f"{file}: line {rows.line_num} has {len(row)} cells, the header {len(header)}. Put quotes "
                            f"around texts that hold {separator!r}."
                        )
        except UnicodeDecodeError as error:
            raise SourceError(f"{file}: is no text in UTF-8. Save it as UTF-8.") from error
        except (OSError, csv.Error) as error:
            raise SourceError(f"{file}: cannot be read ({error}).") from error


def _separator(file: Path) -> str:
    """What stands between a table's columns, by its first line."""
    if file.suffix.lower() == ".tsv":
        return "\t"
    with file.open(encoding="utf-8-sig", errors="replace", newline="") as lines:
        header = lines.readline(100_000)
    counts = {sign: header.count(sign) for sign in (",", ";", "\t", "|")}
    return max(counts, key=lambda sign: counts[sign])


def _text_columns(file: Path, separator: str) -> Any:
    import csv

    import datasets

    try:
        with file.open(encoding="utf-8-sig", newline="") as lines:
            names = next(csv.reader(lines, delimiter=separator), [])
    except (OSError, ValueError, csv.Error):
        return None
    return datasets.Features({name: datasets.Value("string") for name in names}) if all(names) else None


def _read_folder(folder: Path, split: str | None) -> tuple[Any, Path | None]:
    import datasets

    if (folder / "dataset_info.json").is_file() or (folder / "dataset_dict.json").is_file():
        return _undecoded(_pick_split(str(folder), _saved(folder), split)), None
    for name in _METADATA:
        if (folder / name).is_file():
            return _read_files([folder / name]), folder
    for suffix in (".tar", ".parquet"):  # img2dataset writes tables without pictures beside its tar files
        tables = sorted(file for file in folder.iterdir() if file.suffix.lower() == suffix)
        if tables:
            return _read_files(tables), folder
    pictures = sorted(file for file in folder.rglob("*") if file.suffix.lower() in PICTURE_SUFFIXES and file.is_file())
    if not pictures:
        raise SourceError(f"{folder}: holds neither pictures nor a {_METADATA[0]}.")
    names = [str(file.relative_to(folder)) for file in pictures]
    return datasets.Dataset.from_dict({"file_name": names}), folder


def _saved(folder: Path) -> Any:
    import datasets

    try:
        return datasets.load_from_disk(str(folder))
    except (OSError, ValueError, KeyError, TypeError) as error:
        reason = first_line(error)
        raise SourceError(f"{folder}: the saved data set cannot be read ({reason}). Is it complete?") from error


def _read_hub(source: str, split: str | None) -> Any:
    import datasets

    try:
        loaded = datasets.load_dataset(source, split=split)
    except Exception as error:
        reason = first_line(error)
        raise SourceError(
            f"{source}: no file or folder of that name, and the Hub does not give it ({reason})."
        ) from error
    return _undecoded(_pick_split(source, loaded, split))


def _load(name: str, builder: str, **options: Any) -> Any:
    import datasets

    try:
        return _undecoded(datasets.load_dataset(builder, **options))
    except (datasets.exceptions.DatasetGenerationError, OSError, ValueError) as error:
        cause: BaseException = error.__cause__ or error
        reason = first_line(cause)
        if "corresponds to no data" in reason or "BatchSize must be greater than 0" in reason:
            raise SourceError(f"{name}: holds no rows.") from error
        raise SourceError(f"{name}: cannot be read ({reason}). Is the file complete?") from error


def _pick_split(name: str, loaded: Any, split: str | None) -> Any:
    import datasets

    if not isinstance(loaded, dict):
        return loaded
    if split is None and len(loaded) == 1:
        return next(iter(loaded.values()))
    wanted = split or str(datasets.Split.TRAIN)
    if wanted not in loaded:
        raise SourceError(f"{name}: has no split {wanted!r}; name one with --split: {', '.join(loaded)}.")
    return loaded[wanted]


def _undecoded(rows: Any) -> Any:
    """Leave pictures as bytes or paths: decoding is ours, with its limits."""
    import datasets

    for name, feature in (rows.features or {}).items():
        if isinstance(feature, datasets.Image):
            rows = rows.cast_column(name, datasets.Image(decode=False))
    return rows
