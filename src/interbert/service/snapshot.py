"""An index and the service's database as one folder that restores: together, checked, and never over something else.

::

    snapshot.json     what it holds, and the SHA-256 of every other file
    index/            the version that was searched, a LanceDB index of its own, with its model
    state/            a file of JSON lines for every table of the database, unfinished writes among them

The index is held while it is made, so no write of products comes between index and database.
"""

from __future__ import annotations

import json
import logging
import shutil
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from interbert import __version__
from interbert.errors import DataError, UsageError, writing
from interbert.search.index import ProductIndex
from interbert.search.index_model import keep_model, model_fingerprint, own_model
from interbert.search.manifest import append_manifest, connect
from interbert.search.restore_points import read_retention, write_retention
from interbert.service.state import State
from interbert.utils.bounded_files import json_value
from interbert.utils.files import atomic_write, file_sha256, only_writer

_FORMAT = 1
_FILE = "snapshot.json"
_WAIT_SECONDS = 60.0
"""For another command, or the service's writer, to let go of the index."""

_log = logging.getLogger(__name__)
Advance = Callable[[int], None]


@dataclass(frozen=True)
class Snapshot:
    """What a snapshot holds."""

    made_at: str
    version: str
    """Of interbert."""
    index_version: str
    images: int
    model: str
    schema: str
    """The last migration of the database."""
    personal: bool
    """Whether searches and events of shoppers are in it."""
    rows: dict[str, int]
    """By table."""
    unfinished: int
    """Writes that were acknowledged and not finished."""
    files: dict[str, str]
    """SHA-256 by path."""
    format: int = _FORMAT

    def __str__(self) -> str:
        """One line."""
        counts = {name: self.rows.get(name, 0) for name in ("api_keys", "topics", "tasks", "queries", "events")}
        shoppers = (
            f"{counts['queries']} searches and {counts['events']} events of shoppers (personal data)"
            if self.personal
            else "no searches and events"
        )
        return (
            f"index {self.index_version} with {self.images} images and model {self.model}, {counts['api_keys']} keys, "
            f"{counts['topics']} topics, {counts['tasks']} tasks ({self.unfinished} not finished), {shoppers}; "
            f"{len(self.files)} files"
        )


def create_snapshot(index_path: str | Path, state: State, out: str | Path, personal: bool = True) -> Snapshot:
    """Make a snapshot; a folder that only its owner may read, there as a whole or not at all.

    Args:
        index_path: folder or URI of the index.
        state: the service's database.
        out: folder to make.
        personal: searches and events of shoppers, too.

    Raises:
        UsageError: ``out`` is there, or another command writes the index.
        VectorIndexError, CheckpointError: the index or its model cannot be read.
        StorageError: the disk is full or not writable; nothing is left.
    """
    out = Path(out)
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise UsageError(f"{out}: is there already. Name a folder that is not.")
    part = out.with_name(f".{out.name}.part")
    with only_writer(out), only_writer(index_path, _WAIT_SECONDS), writing(out):
        shutil.rmtree(part, ignore_errors=True)
        out.parent.mkdir(parents=True, exist_ok=True)
        part.mkdir(mode=0o700)
        try:
            found = _filled(part, index_path, state, personal)
            if out.exists():
                out.rmdir()
            part.replace(out)
        finally:
            shutil.rmtree(part, ignore_errors=True)
    return found


def _filled(part: Path, index_path: str | Path, state: State, personal: bool) -> Snapshot:
    (part / "state").mkdir()
    _log.info("copying %s", state.name)
    rows = state.write_tables(part / "state", personal)
    index = ProductIndex.open(index_path).pinned()
    _log.info("copying %s: %d images", index_path, len(index))
    _clone(index, part / "index")
    found = Snapshot(
        made_at=datetime.now(UTC).isoformat(timespec="seconds"),
        version=__version__,
        index_version=f"{index.manifest.table}@{index.number()}",
        images=len(index),
        model=index.manifest.origin[1],
        schema=state.schema,
        personal=personal,
        rows=rows,
        unfinished=_unfinished(part / "state" / "tasks.jsonl"),
        files={name: file_sha256(file) for name, file in _files(part).items()},
    )
    atomic_write(part / _FILE, json.dumps(asdict(found), indent=2) + "\n")
    return found


def _unfinished(tasks: Path) -> int:
    with tasks.open(encoding="utf-8") as lines:
        return sum(json.loads(line)["finished_at"] is None for line in lines)


def _clone(index: ProductIndex, folder: Path) -> None:
    """One version of an index, with its own indexes and its model, as an index of its own."""
    manifest = index.manifest
    folder.mkdir()
    database: Any = connect(folder)
    append_manifest(database, manifest, 0)
    write_retention(database, read_retention(connect(index.path)))
    index.table.to_lance().deep_clone(str(folder / f"{manifest.table}.lance"), index.number())
    fingerprint = manifest.model_fingerprint
    source = own_model(index.path, fingerprint) or Path(manifest.model)
    if model_fingerprint(source) != fingerprint:
        raise UsageError(f"{source}: is not the model of {index.path} any more. Put it back there.")
    keep_model(source, folder, fingerprint)


def restore_snapshot(snapshot: str | Path, index_path: str | Path, state: State, advance: Advance) -> Snapshot:
    """Put a snapshot back, after all of it was checked. The same call goes on where it was stopped.

    Args:
        snapshot: folder of :func:`create_snapshot`.
        index_path: folder that is not there, is empty, or has the snapshot's index already.
        state: a database without rows.
        advance: told how many files are checked.

    Raises:
        DataError: the snapshot is none, or damaged; nothing was changed.
        UsageError: something is there already.
        StorageError: the disk is full or not writable.
    """
    folder, target = Path(snapshot), Path(index_path)
    if "://" in str(index_path):
        raise UsageError(f"{index_path}: is no folder. Restore to a folder, and copy it by your bucket's own tools.")
    found = read_snapshot(folder)
    if found.schema not in state.known_schemas:
        raise UsageError(f"{folder}: is of a later version of interbert ({found.version}). Update interbert.")
    state.require_empty()
    index_files = {name.removeprefix("index/"): found.files[name] for name in found.files if name.startswith("index/")}
    with only_writer(target), writing(target):
        there = _is_there(target, index_files)
        _check(folder, found, advance)
        if not there:
            part = target.with_name(f".{target.name}.part")
            shutil.rmtree(part, ignore_errors=True)
            shutil.copytree(folder / "index", part)
            if target.exists():
                target.rmdir()
            part.replace(target)
    state.read_tables(folder / "state")
    return found


def read_snapshot(folder: Path) -> Snapshot:
    """What a snapshot says it holds.

    Raises:
        DataError: it is none.
    """
    try:
        fields = json_value((folder / _FILE).read_bytes())
        if fields.get("format") != _FORMAT:
            raise DataError(f"{folder}: is a snapshot of format {fields.get('format')}; this version reads {_FORMAT}.")
        return Snapshot(**fields)
    except (OSError, ValueError, TypeError, AttributeError) as error:
        if isinstance(error, DataError):
            raise
        raise DataError(f"{folder}: is no snapshot. Make one with: interbert snapshot create") from error


def _check(folder: Path, found: Snapshot, advance: Advance) -> None:
    """Check that every file is there as it was written, and no other."""
    there = _files(folder)
    there.pop(_FILE)
    other = sorted(there.keys() ^ found.files.keys())
    if other:
        what = "is missing" if other[0] in found.files else "does not belong to it"
        raise DataError(f"{folder}: {other[0]} {what}. The snapshot is damaged; nothing was restored.")
    for name, file in there.items():
        if file_sha256(file) != found.files[name]:
            raise DataError(
                f"{folder}: {name} is not as it was written. The snapshot is damaged; nothing was restored."
            )
        advance(1)


def _is_there(target: Path, files: dict[str, str]) -> bool:
    """Whether a folder has exactly these files; False when it is not there, or is empty.

    Raises:
        UsageError: something else is there.
    """
    if not target.exists() or (target.is_dir() and not any(target.iterdir())):
        return False
    there = _files(target) if target.is_dir() else {}
    if there.keys() != files.keys() or any(file_sha256(file) != files[name] for name, file in there.items()):
        raise UsageError(f"{target}: is there already, and is not overwritten. Name a folder that is not.")
    return True


def _files(folder: Path) -> dict[str, Path]:
    """Files below a folder by their paths in it.

    Raises:
        DataError: there is something that is neither a file nor a folder.
    """
    found = {}
    for path in sorted(folder.rglob("*")):
        if path.is_symlink() or not (path.is_file() or path.is_dir()):
            raise DataError(f"{path}: is no file. The snapshot is damaged; nothing was restored.")
        if path.is_file():
            found[path.relative_to(folder).as_posix()] = path
    return found
