"""Any source of pictures and texts as rows of undecoded pictures.

A source is a parquet, csv, json or jsonl file (or a glob of them), a folder of pictures with or without a
``metadata.csv``/``metadata.jsonl`` that has a ``file_name`` column, a saved ``datasets`` folder, or a Hub id. All are
read by ``datasets``, with pictures left as bytes or paths.
"""

from __future__ import annotations

import glob
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from interbert.errors import ColumnError, PictureError, SourceError
from interbert.extraction.columns import ColumnMapping, resolve_columns
from interbert.extraction.pictures import PICTURE_SUFFIXES, load_picture

if TYPE_CHECKING:
    from PIL import Image

_BUILDERS = {".parquet": "parquet", ".csv": "csv", ".tsv": "csv", ".json": "json", ".jsonl": "json"}
_METADATA = ("metadata.csv", "metadata.jsonl", "metadata.parquet")


@dataclass(frozen=True)
class SourceItem:
    """One row of a source."""

    row: int
    where: str
    """The row in words, for messages."""
    data: bytes | Path | None
    """The picture's file; None when it cannot be had, see ``problem``."""
    problem: str | None
    texts: tuple[str, ...]
    text_fields: tuple[str, ...]
    picture_id: str
    product_id: str


class PictureSource:
    """Rows of a source in order, by index."""

    def __init__(
        self, name: str, rows: Any, columns: ColumnMapping, folder: Path | None, only: Sequence[int] | None = None
    ) -> None:
        self.name = name
        self.columns = columns
        self._rows = rows
        self._folder = folder
        self._only = only
        self._ids = self._picture_ids()

    def select(self, rows: Sequence[int]) -> PictureSource:
        """The same source with only these rows; their picture ids stay."""
        only = [row if self._only is None else self._only[row] for row in rows]
        chosen = PictureSource(self.name, self._rows, self.columns, self._folder, only)
        chosen._ids = [self._ids[row] for row in rows]
        return chosen

    def products_and_texts(self) -> Iterator[tuple[str, tuple[str, ...]]]:
        """Product id and texts of every row, without reading a picture."""
        wanted = [*self.columns.texts, *([self.columns.product_id] if self.columns.product_id else [])]
        light = self._rows.select_columns(list(dict.fromkeys(wanted))) if wanted else self._rows
        for row, name in enumerate(self._ids):
            values = light[row if self._only is None else self._only[row]]
            yield self._product(values, name), self._texts(values)[0]

    def __len__(self) -> int:
        return len(self._ids)

    def __iter__(self) -> Iterator[SourceItem]:
        return (self[row] for row in range(len(self)))

    def picture_ids(self) -> list[str]:
        """Every row's picture id, unique."""
        return self._ids

    def __getitem__(self, row: int) -> SourceItem:
        values = self._rows[row if self._only is None else self._only[row]]
        texts, text_fields = self._texts(values)
        assert self.columns.picture is not None
        data, problem = self._picture(values[self.columns.picture])
        return SourceItem(
            row=row,
            where=f"{self.name}, row {row}",
            data=data,
            problem=problem,
            texts=texts,
            text_fields=text_fields,
            picture_id=self._ids[row],
            product_id=self._product(values, self._ids[row]),
        )

    def _product(self, values: dict[str, Any], picture_id: str) -> str:
        value = values.get(self.columns.product_id) if self.columns.product_id else None
        return picture_id if value is None else str(value)

    def open_picture(self, row: int, target_side: int = 512) -> Image.Image | None:
        """A row's picture as RGB, for showing; None when it cannot be read."""
        item = self[row]
        try:
            return None if item.data is None else load_picture(item.data, item.where, target_side)
        except PictureError:
            return None

    def _picture_ids(self) -> list[str]:
        name = self.columns.picture_id
        if name is None:
            return [str(row) for row in range(len(self._rows))]
        ids = [str(value) for value in self._rows[name]]
        repeated = [value for value, count in Counter(ids).items() if count > 1]
        if repeated:
            raise ColumnError(
                f"{self.name}: column {name!r} is no picture id: {repeated[0]!r} stands in "
                f"{sum(value == repeated[0] for value in ids)} rows. Use --product_id for ids that pictures share."
            )
        return ids

    def _texts(self, values: dict[str, Any]) -> tuple[tuple[str, ...], tuple[str, ...]]:
        found: dict[str, str] = {}
        for column in self.columns.texts:
            value = values[column]
            for text in value if isinstance(value, list | tuple) else [value]:
                clean = " ".join(str(text).split()) if text is not None else ""
                if clean:
                    found.setdefault(clean, column)
        return tuple(found), tuple(found.values())

    def _picture(self, value: Any) -> tuple[bytes | Path | None, str | None]:
        if isinstance(value, dict):
            if value.get("bytes"):
                return value["bytes"], None
            value = value.get("path")
            if value and self._folder is None:
                return Path(value), None  # a path that `datasets` resolved itself
        if isinstance(value, bytes):
            return value, None
        if not value:
            return None, "the picture is empty"
        if str(value).startswith(("http://", "https://")):
            return None, f"{str(value)[:80]}: is an address. Download the pictures first and give their paths"
        folder = (self._folder or Path()).resolve()
        try:
            path = (folder / str(value)).resolve()
            if not path.is_relative_to(folder):
                return None, f"the path {value} leads out of {self._folder}"
            if path.is_file():
                return path, None
        except (OSError, ValueError):  # too long, or with a NUL
            return None, f"{str(value)[:80]!r}: is no path of a picture"
        return None, f"{value}: there is no such file"


def open_source(
    source: str, mapping: ColumnMapping | None = None, split: str | None = None, need_texts: bool = True
) -> PictureSource:
    """Open a source.

    Args:
        source: file, glob, folder or Hub id.
        mapping: columns; those not named are found.
        split: of a Hub data set or a saved one; None takes ``train``, or the only one.
        need_texts: whether pictures alone are an error.

    Raises:
        SourceError: it is missing, empty or unreadable.
        ColumnError: a column is missing.
    """
    rows, folder = _read(source, split)
    if not len(rows):
        raise SourceError(f"{source}: holds no rows.")
    sample = rows[: min(20, len(rows))]
    columns = resolve_columns(mapping or ColumnMapping(), list(sample), sample, source, need_texts)
    return PictureSource(source, rows, columns, folder)


def open_table(source: str, split: str | None = None) -> Any:
    """The rows of a source as a ``datasets.Dataset``, pictures undecoded; columns are the caller's matter.

    Raises:
        SourceError: it is missing, empty or unreadable.
    """
    rows, _ = _read(source, split)
    if not len(rows):
        raise SourceError(f"{source}: holds no rows.")
    return rows


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
    builders = {_BUILDERS.get(file.suffix.lower()) for file in files}
    builder = builders.pop() if len(builders) == 1 else None
    if builder is None:
        raise SourceError(f"{files[0]}: files of this kind are not read; use {', '.join(_BUILDERS)}.")
    if any(file.stat().st_size == 0 for file in files):
        raise SourceError(f"{files[0]}: the file is empty.")
    options: dict[str, Any] = {}
    if builder == "csv":  # cells as they are written: no numbers, no names that pandas takes for missing
        separator = _separator(files[0])
        options = {"sep": separator, "keep_default_na": False, "na_values": [""]}
        options["features"] = _text_columns(files[0], separator)
        _check_lengths(files, separator)
    escaped = [glob.escape(str(file)) for file in files]
    return _load(str(files[0]), builder, data_files=escaped, split="train", **options)


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
    tables = sorted(file for file in folder.iterdir() if file.suffix.lower() == ".parquet")
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
        reason = (str(error).splitlines() or [type(error).__name__])[0][:200]
        raise SourceError(f"{folder}: the saved data set cannot be read ({reason}). Is it complete?") from error


def _read_hub(source: str, split: str | None) -> Any:
    import datasets

    try:
        loaded = datasets.load_dataset(source, split=split)
    except Exception as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0][:200]
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
        reason = (str(cause).splitlines() or [type(cause).__name__])[0][:200]
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
