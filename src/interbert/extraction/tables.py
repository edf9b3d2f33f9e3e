"""Any table of rows: parquet, csv, json or jsonl files, folders, saved data sets and Hub ids.

``datasets`` reads them, but for JSON, which :mod:`interbert.extraction.json_rows` does. Images stay undecoded, as
bytes or paths. Images packed into tsv and tar files are read by :mod:`interbert.extraction.image_tsv`.
"""

from __future__ import annotations

import dataclasses
import glob
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from interbert.errors import (
    ColumnError,
    InterBertError,
    MissingExtraError,
    NoRowsError,
    SourceError,
    StorageError,
    first_line,
    is_full,
    storage_problem,
)
from interbert.extraction.delimited import TableForm, table_form
from interbert.extraction.image_lmdb import ImageLmdb
from interbert.extraction.image_tsv import ImageTsv, is_image_tsv
from interbert.extraction.images import IMAGE_SUFFIXES
from interbert.extraction.json_rows import read_json_rows
from interbert.extraction.parquet_rows import read_parquet
from interbert.extraction.table_files import join, require_own_files
from interbert.extraction.tar_rows import TarRows
from interbert.regions.importers.clip_lmdb import is_lmdb
from interbert.utils.bounded_parquet import require_bounded
from interbert.utils.texts import whole_text

_BUILDERS = {".parquet": "parquet", ".csv": "csv", ".tsv": "csv", ".json": "json", ".jsonl": "json"}
_METADATA = ("metadata.csv", "metadata.jsonl", "metadata.parquet")


@dataclass(frozen=True)
class SourceRows:
    """What a source holds."""

    rows: Any
    """A ``datasets.Dataset`` or ``PackedRows``."""
    folder: Path | None = None
    """What paths in the rows are relative to; None: they are resolved."""
    files: Sequence[Path] = ()
    """Of a table, in the order of its rows; none where that is not known."""
    left_out: Mapping[str, str] = field(default_factory=dict)
    """Columns that could not be read, with why: their types differ from file to file."""

    def require(self, names: Iterable[str | None], where: str) -> None:
        """Check that columns are there; None stands for none.

        Raises:
            ColumnError: one is missing, with the nearest name that exists, or could not be read, with why.
        """
        for name in names:
            if name is not None and name in self.left_out:
                raise ColumnError(f"{where}: column {name[:60]!r} {self.left_out[name]}. Write it alike in all files.")
            if name is not None and name not in self.rows.column_names:
                raise ColumnError.missing(name, self.rows.column_names, where)


def read_rows(source: str, split: str | None = None) -> SourceRows:
    """Rows of a source.

    Args:
        source: file, glob, folder or Hub id.
        split: of a Hub data set or a saved one; None takes ``train``, or the only one.

    Raises:
        SourceError: it is missing, empty or unreadable.
        MissingExtraError: ``datasets`` is not installed, and it is no archive.
    """
    try:
        found = _read(source, split)
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] == "datasets":
            raise MissingExtraError.of("datasets", "extraction") from error
        raise
    if not len(found.rows):
        raise NoRowsError(f"{source}: holds no rows.")
    return found


def _read(source: str, split: str | None) -> SourceRows:
    if not source.strip():
        raise SourceError("the source is empty. Give a parquet, csv or jsonl file, a folder of images, or a Hub id.")
    path = Path(source).expanduser()
    if path.is_dir():
        return _read_folder(path, split)
    if path.is_file():
        return _read_files([path], path.parent)
    if source.count("/") == 1 and path.parent.is_dir():
        raise SourceError(f"{source}: there is no such file or folder in {path.parent}.")
    if any(sign in source for sign in "*?["):
        files = [Path(name) for name in sorted(glob.glob(str(path), recursive=True))]
        if not files:
            raise SourceError(f"{source}: matches no file.")
        return _read_files(files, files[0].parent)
    if source.startswith((".", "/", "~")) or path.suffix.lower() in _BUILDERS or source.count("/") != 1:
        raise SourceError(
            f"{source}: there is no such file or folder. Give a parquet, csv or jsonl file, a folder of images, or a "
            "Hub id (owner/name)."
        )
    return SourceRows(_read_hub(source, split))


def _read_files(files: Sequence[Path], folder: Path) -> SourceRows:
    kinds = {file.suffix.lower() for file in files}
    builders = {_BUILDERS.get(kind) for kind in kinds}
    builder = builders.pop() if len(builders) == 1 else None
    if builder is None and kinds != {".tar"}:
        raise SourceError(f"{files[0]}: files of this kind are not read; use {', '.join(_BUILDERS)}, .tar.")
    for file in files:
        if file.stat().st_size == 0:
            raise SourceError(f"{file}: the file is empty.")
    if builder is None:
        return SourceRows(TarRows(files), folder)
    if kinds == {".tsv"} and all(is_image_tsv(file) for file in files):
        return SourceRows(ImageTsv(files), folder)
    if builder == "json":
        return SourceRows(read_json_rows(files), folder, files)
    return _read_csv(files, folder) if builder == "csv" else _read_parquet(files, folder)


def _read_csv(files: Sequence[Path], folder: Path) -> SourceRows:
    forms = {file: table_form(file) for file in files}
    filled = [file for file, form in forms.items() if form.filled] or files
    if len({forms[file] for file in filled}) == 1:
        return SourceRows(_load(filled, partial(_csv, forms[filled[0]])), folder, filled)
    return _joined(filled, [_load([file], partial(_csv, forms[file])) for file in filled], folder)


def _read_parquet(files: Sequence[Path], folder: Path) -> SourceRows:
    import pyarrow.parquet as pq

    schemas = [_parquet_schema(file) for file in files]
    if all(schema.equals(schemas[0]) for schema in schemas):
        return SourceRows(_load(files, read_parquet), folder, files)
    filled = [file for file in files if pq.read_metadata(file).num_rows] or files
    return _joined(filled, [_load([file], read_parquet) for file in filled], folder)


def _joined(files: Sequence[Path], parts: Sequence[Any], folder: Path) -> SourceRows:
    rows, left_out = join(files, parts)
    return SourceRows(rows, folder, files, left_out)


def _parquet_schema(file: Path) -> Any:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        require_bounded(file)
        return pq.read_schema(file)
    except (pa.ArrowException, OSError) as error:
        raise SourceError(f"{file}: cannot be read ({first_line(error)}). Is the file complete?") from error


def _read_folder(folder: Path, split: str | None) -> SourceRows:
    if is_lmdb(folder):
        return SourceRows(ImageLmdb(folder), folder)
    import datasets

    if (folder / "dataset_info.json").is_file() or (folder / "dataset_dict.json").is_file():
        return SourceRows(_undecoded(_pick_split(str(folder), _saved(folder), split)), folder)
    for name in _METADATA:
        if (folder / name).is_file():
            return _read_files([folder / name], folder)
    for suffix in (".tar", ".parquet"):  # img2dataset writes tables without images beside its tar files
        tables = sorted(file for file in folder.iterdir() if file.suffix.lower() == suffix)
        if tables:
            return _read_files(tables, folder)
    images = sorted(file for file in folder.rglob("*") if file.suffix.lower() in IMAGE_SUFFIXES and file.is_file())
    if not images:
        raise SourceError(f"{folder}: holds neither images nor a {_METADATA[0]}.")
    names = [str(file.relative_to(folder)) for file in images]
    odd = next((name for name in names if whole_text(name) != name), None)
    if odd is not None:  # no table and no store can hold it
        raise SourceError(f"{folder}: the name {odd[:200]!r} is no UTF-8. Rename it, as with: convmv -f gbk -t utf8 -r")
    return SourceRows(datasets.Dataset.from_dict({"file_name": names}), folder)


def _saved(folder: Path) -> Any:
    import datasets

    require_own_files(folder)
    try:
        return datasets.load_from_disk(str(folder))
    except Exception as error:  # its lists may hold anything, of which `datasets` makes errors of every kind
        reason = first_line(error)
        raise SourceError(f"{folder}: the saved data set cannot be read ({reason}). Is it complete?") from error


def _read_hub(source: str, split: str | None) -> Any:
    import datasets
    from datasets.packaged_modules.json.json import Json

    try:
        builder = datasets.load_dataset_builder(source)
        if isinstance(builder, Json):
            return _read_hub_json(source, builder, split)
        loaded = datasets.load_dataset(source, split=split)
    except InterBertError:
        raise
    except Exception as error:
        _require_room(error)
        reason = first_line(error)
        raise SourceError(
            f"{source}: no file or folder of that name, and the Hub does not give it ({reason})."
        ) from error
    return _undecoded(_pick_split(source, loaded, split))


def _read_hub_json(source: str, builder: Any, split: str | None) -> Any:
    """JSON files of the Hub, downloaded by ``datasets`` and read here."""
    import datasets

    manager = datasets.DownloadManager(download_config=datasets.DownloadConfig(token=builder.token))
    named = {str(name): urls for name, urls in builder.config.data_files.items()}
    name, part, _ = (split or "").partition("[")
    files = manager.download_and_extract(_pick_split(source, named, name or None))
    rows = read_json_rows([Path(file) for file in files])
    if not part:
        return rows
    wanted = datasets.ReadInstruction.from_spec(split).to_absolute({name: len(rows)})[0]
    chosen = rows.select(range(wanted.from_ or 0, len(rows) if wanted.to is None else wanted.to))
    chosen._all_rows = rows  # whose file goes with it
    return chosen


def _csv(form: TableForm, files: Sequence[Path]) -> Any:
    import datasets

    escaped = [glob.escape(str(file)) for file in files]
    return datasets.load_dataset("csv", data_files=escaped, split="train", **form.options())


def _load(files: Sequence[Path], read: Callable[[Sequence[Path]], Any]) -> Any:
    import datasets

    name = files[0]
    try:
        return _undecoded(read(files))
    except (datasets.exceptions.DatasetGenerationError, OSError, ValueError) as error:
        cause: BaseException = error.__cause__ or error
        if isinstance(cause, InterBertError):
            raise cause from None
        _require_room(cause)
        reason = first_line(cause)
        if "corresponds to no data" in reason or "BatchSize must be greater than 0" in reason:
            raise NoRowsError(f"{name}: holds no rows.") from error
        raise SourceError(f"{name}: cannot be read ({reason}). Is the file complete?") from error


def _require_room(error: BaseException) -> None:
    """Check that a table could be kept: ``datasets`` writes a copy of what it reads, and a full disk is no bad file.

    Raises:
        StorageError: the disk of the copies is full.
    """
    import datasets

    problem = storage_problem(error) if is_full(error) or is_full(error.__cause__ or error) else None
    if problem is not None:
        cache = datasets.config.HF_DATASETS_CACHE
        raise StorageError(f"{cache}: {problem} HF_DATASETS_CACHE names another folder for copies.") from error


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
    """Leave images as bytes or paths, also inside of lists and structs: decoding is ours, with its limits.

    ``datasets`` decodes every column of a row that is looked at, and opens whatever file or address a cell names.
    """
    import datasets

    found = rows.features or {}
    plain = datasets.Features({name: _without_decoding(feature) for name, feature in found.items()})
    if plain == found:
        return rows
    info = rows.info.copy()
    info.features = plain
    return datasets.Dataset(rows.data, info, rows.split)


def _without_decoding(feature: Any) -> Any:
    """A feature whose members stay as they are stored; JSON alone is parsed, which opens nothing."""
    import datasets

    if isinstance(feature, dict):
        return {name: _without_decoding(one) for name, one in feature.items()}
    if isinstance(feature, list):
        return [_without_decoding(one) for one in feature]
    if isinstance(feature, datasets.List | datasets.LargeList):
        return dataclasses.replace(feature, feature=_without_decoding(feature.feature))
    if getattr(feature, "decode", False) and not isinstance(feature, getattr(datasets, "Json", ())):
        return dataclasses.replace(feature, decode=False)
    return feature
