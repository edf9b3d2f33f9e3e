"""The copy of its model that an index in a bucket keeps: a table of files, read into a cache on this machine.

It is a table of the same LanceDB database as the products, so that one client, with one set of credentials, reads and
writes all of an index, and half a copy is never seen.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from interbert.errors import CheckpointError, first_line, writing
from interbert.search.manifest import connect, has_table, table_names

_PREFIX = "model_"
_PART = 16 << 20
"""Bytes of a file in one row."""


def cached_folder(fingerprint: str) -> Path:
    """Where this machine keeps the model of an index in a bucket: under ``XDG_CACHE_HOME``, or ``~/.cache``."""
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(home) / "interbert" / "models" / fingerprint


def upload_model(files: Sequence[Path], path: str, fingerprint: str) -> None:
    """Put a model's files beside the products of an index; nothing when they are there already.

    Raises:
        StorageError: the bucket cannot be written.
    """
    import pyarrow as pa

    database, name = connect(path), _PREFIX + fingerprint
    if has_table(database, name):
        return
    schema = pa.schema([("file", pa.string()), ("part", pa.int64()), ("data", pa.large_binary())])

    def batches() -> Iterator[Any]:
        for file in files:
            with file.open("rb") as opened:
                part = 0
                while (data := opened.read(_PART)) or not part:
                    yield pa.record_batch([[file.name], [part], [data]], schema=schema)
                    part += 1

    with writing(path):
        mode = "overwrite" if name in table_names(database) else "create"  # what a kill left has no version
        database.create_table(name, pa.RecordBatchReader.from_batches(schema, batches()), mode=mode)


def download_model(path: str, fingerprint: str) -> Path | None:
    """Put the model of an index in a bucket into the cache; returns its folder, or None when the index has no copy.

    Raises:
        CheckpointError: the copy cannot be read.
        StorageError: the cache cannot be written.
    """
    database, name, folder = connect(path), _PREFIX + fingerprint, cached_folder(fingerprint)
    try:
        if not has_table(database, name):
            return None
        table = database.open_table(name)
        files = sorted({row["file"] for row in table.search().select(["file"]).limit(None).to_list()})
        with _placed(folder) as part:
            for file in files:
                _download(table, file, part / Path(file).name)
    except (ValueError, OSError, RuntimeError) as error:
        raise CheckpointError(f"{path}: its copy of the model cannot be read ({first_line(error)}).") from error
    return folder


@contextmanager
def _placed(folder: Path) -> Iterator[Path]:
    """A folder to write into that takes the place of ``folder``, unless another process was first."""
    with writing(folder):
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(
            prefix=f".{folder.name}.", dir=folder.parent, ignore_cleanup_errors=True
        ) as part:
            yield Path(part)
            try:
                Path(part).rename(folder)
            except OSError:
                if not folder.is_dir():
                    raise


def _download(table: Any, file: str, target: Path) -> None:
    """Write one file, part by part."""
    quoted = file.replace("'", "''")
    with target.open("wb") as opened:
        for part in range(table.count_rows(f"file = '{quoted}'")):
            rows = table.search().where(f"file = '{quoted}' AND part = {part}").select(["data"]).limit(1).to_list()
            opened.write(rows[0]["data"])


def forget_models(path: str, kept: set[str]) -> None:
    """Remove the copies of models but those of these fingerprints."""
    database = connect(path)
    for name in table_names(database):
        if name.startswith(_PREFIX) and name.removeprefix(_PREFIX) not in kept:
            database.drop_table(name)
