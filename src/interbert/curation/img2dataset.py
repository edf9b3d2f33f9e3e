"""What img2dataset writes: tar files or folders of images, and beside each a table of every address with its status.

A row of the table whose image could not be downloaded has no sample; it is a row here, which says so. Without the
table, what the ``.json`` of each sample says of its download is read.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from interbert.curation.cells import ERROR, STATUS
from interbert.curation.sample_rows import field_text, further_fields
from interbert.errors import SourceError, first_line
from interbert.extraction.columns import id_text
from interbert.extraction.image_tsv import ArchiveRows
from interbert.extraction.images import IMAGE_SUFFIXES
from interbert.extraction.tar_rows import TarRows
from interbert.utils.bounded_parquet import counted_batches, require_bounded

_OF_SAMPLES = ("url", STATUS, ERROR)
"""What each ``.json`` beside an image says, whatever else; read where there is no table."""
_OURS = ("image", "caption")


def parts_of_table(files: Sequence[Path]) -> set[Path]:
    """Tables among files that stand beside tar files of the same name, read with them; and statistics."""
    tars = {file.with_suffix("") for file in files if file.suffix.lower() == ".tar"}
    tables = {file for file in files if file.suffix.lower() == ".parquet" and file.with_suffix("") in tars}
    return tables | {file for file in files if file.name.endswith("_stats.json")}


class Img2datasetRows(ArchiveRows):
    """Rows of one shard: of a tar file, with its table where there is one, or of a table with its folder of images.

    Raises:
        SourceError: the tar file or the table cannot be read.
    """

    image_id = "key"

    def __init__(self, file: Path) -> None:
        self._folder = file.with_suffix("")
        self._tar = TarRows([file]) if file.suffix.lower() == ".tar" else None
        keys = [] if self._tar is None else [str(self._tar.value(row, "key")) for row in range(len(self._tar))]
        self._sample = {key: row for row, key in enumerate(keys)}
        table = file if self._tar is None else _table_beside(file)
        self._table = {} if table is None else _read(table)
        self._keys = [id_text(key) or "" for key in self._table.get("key", [])]
        known = set(self._keys)
        self._keys += [key for key in keys if key not in known]
        further = list(self._table or dict.fromkeys((*_OF_SAMPLES, *self._fields(file))))
        further = [name for name in further if name not in ("key", *_OURS)]
        self.column_names = ("key", *_OURS, *further)

    @staticmethod
    def fits(file: Path, beside_tars: bool = False) -> bool:
        """Whether a file is a shard of img2dataset: a tar or a folder of images with its table, or a tar whose first
        sample says where it was downloaded from.

        Args:
            file: of any kind.
            beside_tars: of others; then a table whose own is lost is a shard, whose rows have no sample.
        """
        try:
            if beside_tars and _is_table(file):
                return True
            if _table_beside(file) is not None:
                return True
            if file.suffix.lower() != ".tar":
                return False
            rows = TarRows([file])
            return len(rows) > 0 and STATUS in rows.sidecar(0) and "url" in rows.sidecar(0)
        except SourceError:
            return False

    @staticmethod
    def beside(file: Path) -> list[Path]:
        """The table that is read with a file."""
        table = _table_beside(file)
        return [] if table is None or table == file else [table]

    def __len__(self) -> int:
        return len(self._keys)

    def value(self, row: int, column: str) -> Any:
        """The key, the image's bytes or path, the caption, or what the table or the sample says beside."""
        key = self._keys[row]
        sample = self._sample.get(key)
        if column == "key":
            return key
        if column == "image":
            return self._image(key, sample)
        told = self._table.get(column)
        if told is not None and row < len(told):
            return told[row]
        if sample is None or self._tar is None:
            return None
        if column == "caption":
            return self._tar.value(sample, "caption")
        return field_text(self._tar.sidecar(sample).get(column))

    def _fields(self, file: Path) -> list[str]:
        return [] if self._tar is None else further_fields(self._tar, str(file))

    def _image(self, key: str, sample: int | None) -> Any:
        if sample is not None and self._tar is not None:
            return self._tar.value(sample, "image")
        if self._tar is None and "/" not in key:
            for suffix in sorted(IMAGE_SUFFIXES):
                if (self._folder / f"{key}{suffix}").is_file():
                    return f"{self._folder.name}/{key}{suffix}"
        return {"problem": "there is no such sample beside the table"}


def _table_beside(file: Path) -> Path | None:
    """The table of a tar file, or a file that is the table of a folder beside it."""
    table = file.with_suffix(".parquet")
    is_shard = file.suffix.lower() == ".tar" or (file == table and file.with_suffix("").is_dir())
    return table if is_shard and _is_table(table) else None


def _is_table(file: Path) -> bool:
    import pyarrow as pa
    import pyarrow.parquet as pq

    if file.suffix.lower() != ".parquet" or not file.is_file():
        return False
    try:
        return {"key", STATUS} <= set(pq.read_schema(file).names)
    except (pa.ArrowException, OSError):  # cut off: the samples are read without it
        return False


def _read(table: Path) -> dict[str, list[Any]]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    require_bounded(table)
    try:
        read = pa.Table.from_batches(counted_batches(table), pq.read_schema(table))
    except (pa.ArrowException, OSError) as error:
        raise SourceError(f"{table}: cannot be read ({first_line(error)}). Is the file complete?") from error
    single = [name for name in read.column_names if not pa.types.is_nested(read.schema.field(name).type)]
    return {name: read[name].to_pylist() for name in single}
