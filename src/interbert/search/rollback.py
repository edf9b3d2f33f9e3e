"""The versions that an index keeps, and the way back to one of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from interbert.errors import CheckpointError, UsageError, VectorIndexError, VersionGone, writing
from interbert.search.index import ProductIndex
from interbert.search.index_model import model_fingerprint, own_model
from interbert.search.manifest import Manifest, append_manifest, connect, has_table, read_manifests
from interbert.search.restore_points import RestorePoint, head_point, restore_points
from interbert.search.versions import parsed_version
from interbert.search.writer import IndexWriter
from interbert.utils.files import WRITER_SECONDS, only_writer


@dataclass(frozen=True)
class KeptVersion:
    """A version of an index that can be searched again."""

    build: Manifest
    point: RestorePoint
    images: int
    current: bool
    """Whether it is what is searched now."""

    @property
    def name(self) -> str:
        """As answers of searches have it: ``products_0001_ab12cd34@17``."""
        return f"{self.build.table}@{self.point.number}"


def kept_versions(path: str | Path) -> list[KeptVersion]:
    """All versions that an index keeps, by build and number, oldest first; what is searched now is among them.

    Raises:
        VectorIndexError: there is no index, or it is damaged.
    """
    index = ProductIndex.open(path)
    database: Any = connect(path)
    complete = [one for one in read_manifests(database, str(path)) if one.complete]
    builds = {one.table: one for one in complete}
    found = []
    for table, build in sorted(builds.items()):
        if not has_table(database, table):
            continue
        opened, searched = database.open_table(table), table == index.manifest.table
        head, points = int(opened.version), restore_points(opened)
        if head not in {one.number for one in points} and (searched or not points):  # of an earlier version
            points.append(head_point(opened))
        for one in points:
            opened.checkout(one.number)
            found.append(KeptVersion(build, one, int(opened.count_rows()), searched and one.number == head))
    return found


def find_version(kept: Sequence[KeptVersion], to: str, path: str | Path) -> KeptVersion:
    """The version that a name or a moment means.

    Args:
        kept: of the index.
        to: a version's name; or a date or time of this machine's clock, such as ``2026-01-05`` or ``2026-01-05T18:00``:
            what was searched then, at the day's end.
        path: of the index, for messages.

    Raises:
        VectorIndexError: it is gone, or never was.
        UsageError: it is neither a version nor a time.
    """
    seen = f"`interbert index rollback {path}` lists what is kept."
    if "@" in to:
        named = [one for one in kept if one.name == to]
        if not named:
            raise VectorIndexError(f"{path}: version {to[:80]!r} is gone, or never was. {seen}")
        return named[0]
    try:
        moment = datetime.fromisoformat(to)
    except ValueError as error:
        raise UsageError(
            f"index rollback: {to[:80]!r} is no version and no time, such as products_0001_ab12cd34@17 or 2026-01-05. "
            f"{seen}"
        ) from error
    if len(to) <= len("2026-01-05"):
        moment = moment.replace(hour=23, minute=59, second=59)
    then = [one for one in kept if one.point.at <= moment.astimezone(UTC)]
    if not then:
        raise VectorIndexError(f"{path}: keeps no version that was searched at {to}. {seen}")
    return max(then, key=lambda one: one.point.at)


def roll_back(path: str | Path, to: str) -> KeptVersion:
    """Search an earlier version again, as a new version; what was searched until now is kept, and can be gone back to.

    One commit changes over: a kill leaves what was before, or what is after it. Searches go on meanwhile.

    Args:
        path: folder or URI of the index.
        to: as of :func:`find_version`.

    Returns:
        the version that was gone back to.

    Raises:
        VectorIndexError: the version is gone, or the index is damaged.
        CheckpointError: the version's model is gone.
        UsageError: it is searched already, ``to`` is wrong, or another command is writing the index.
        StorageError: it cannot be written; what was searched stays.
    """
    with only_writer(path, WRITER_SECONDS):
        kept = kept_versions(path)
        found = find_version(kept, to, path)
        if found.current:
            raise UsageError(f"{path}: {found.name} is what is searched now, so nothing was changed.")
        now = next(one for one in kept if one.current)
        if found.build.model_fingerprint != now.build.model_fingerprint:
            _require_model(path, found.build)
        _require_there(path, found)
        database: Any = connect(path)
        with writing(path):
            IndexWriter(ProductIndex.open(path)).keep()  # what is searched now, of an earlier interbert too
            database.open_table(found.build.table).restore(found.point.number)
            if found.build.table != now.build.table:
                append_manifest(database, found.build, len(read_manifests(database, str(path))))
        IndexWriter(ProductIndex.open(path)).maintain(made_by="rollback")
    return found


def _require_there(path: str | Path, version: KeptVersion) -> None:
    """Check that a version can be read before it takes the place of one that can."""
    try:
        ProductIndex.open(path).at(*parsed_version(version.name))
    except VersionGone as error:
        raise VectorIndexError(
            f"{path}: version {version.name} cannot be read any more; nothing was changed."
        ) from error


def _require_model(path: str | Path, build: Manifest) -> None:
    try:
        kept = own_model(str(path), build.model_fingerprint) is not None
        there = kept or model_fingerprint(build.model) == build.model_fingerprint
    except CheckpointError:
        there = False
    if not there:
        raise CheckpointError(
            f"{path}: the model of {build.table} ({build.model}, fingerprint {build.model_fingerprint}) is gone, so "
            "nothing was changed. Put it back there, or go back to a version of the model that is searched now."
        )
