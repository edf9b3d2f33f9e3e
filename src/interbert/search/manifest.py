"""What an index says of itself: its model, its columns, and which table is searched.

A row is appended for every build, and the last complete one counts: that is how a rebuilt table takes the place of
the old one in a single commit, on a disk and in a bucket alike.
"""

from __future__ import annotations

import json
import math
import os
import re
from dataclasses import asdict, dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any, get_args

from interbert.errors import MissingExtraError, VectorIndexError, first_line
from interbert.search.columns import Column, Kind
from interbert.search.vectors import TokenQuantisation, stored_size
from interbert.utils.bounded_files import json_value
from interbert.utils.redaction import published, without_credentials
from interbert.utils.stored_names import from_stored, stored

FORMAT = 2
_READ = (1, 2)
"""Format 1 knows no dates and lists, and no currencies."""
TABLE = "manifest"
_STORED = {"token_quantisation": "coding"}
_REMEDY = "It is damaged: build the index anew in another folder."


@dataclass(frozen=True)
class Manifest:
    """One build of an index."""

    table: str
    """LanceDB table with the products."""
    model: str
    """Model directory, as it was given: to look there when the index has no copy of its own."""
    model_fingerprint: str
    source: str
    """What it was built from, as it was given."""
    vector_size: int
    """D, numbers of a vector."""
    stored_size: int
    """Numbers of a stored vector (:mod:`interbert.search.vectors`)."""
    largest_norm: float
    """Hardly any vector is longer, and with a contrastive head none."""
    hidden_size: int
    """H."""
    token_quantisation: TokenQuantisation
    """How the regions are kept."""
    columns: tuple[Column, ...]
    """What filters can use."""
    aliases: dict[str, str]
    """Further names that filters can use, of the columns that every index has."""
    mapping: dict[str, Any]
    """Which columns of the source hold images, texts and ids."""
    mirrored: bool = False
    """Whether an image's vector is the mean of its own and its mirror image's."""
    complete: bool = False
    """False while it is built."""
    format: int = FORMAT

    def completed(self) -> Manifest:
        """The same, ready to be searched."""
        return replace(self, complete=True)

    def same_build(self, other: Manifest) -> bool:
        """Whether the two describe the same work, so that one can go on where the other was stopped."""
        mine, others = (replace(one, table="", complete=False, format=FORMAT) for one in (self, other))
        return mine == others

    @property
    def origin(self) -> tuple[str, str]:
        """Names of source and model as they may be shown to others: without the folders of the machine of the build."""
        return published(self.source), published(self.model)

    def to_json(self) -> str:
        """Everything, as JSON."""
        return json.dumps(stored(asdict(self), _STORED), ensure_ascii=False)

    @classmethod
    def from_json(cls, text: str, where: str) -> Manifest:
        """Inverse of :meth:`to_json`.

        Raises:
            VectorIndexError: it is none, or of a later version.
        """
        try:
            fields = from_stored(json_value(text), _STORED)
            if fields.get("format") not in _READ:
                raise VectorIndexError(
                    f"{where}: is an index of format {fields.get('format')}; this version reads up to {FORMAT}. Build "
                    "it anew."
                )
            fields["columns"] = tuple(Column(**column) for column in fields["columns"])
            fields |= {name: without_credentials(str(fields[name])) for name in ("model", "source")}
            manifest = cls(**fields)
            _require_possible(manifest)
            return manifest
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            if isinstance(error, VectorIndexError):
                raise
            raise VectorIndexError(f"{where}: does not say how it was built. {_REMEDY}") from error


def _require_possible(manifest: Manifest) -> None:
    """Check what tables, files and shapes are told by.

    Raises:
        ValueError: a field has a value that no build writes.
    """
    one, mapping = manifest, manifest.mapping
    names = [part for column in one.columns for part in (column.name, column.field, column.unit, column.decimal)]
    texts = [one.model, one.source, *one.aliases, *one.aliases.values(), *mapping["texts"], *names]
    optional = [mapping[name] for name in ("picture", "picture_id", "product_id") if mapping[name] is not None]
    sound = (
        re.fullmatch(r"products_[0-9a-z_]+", one.table)
        and re.fullmatch(r"[0-9a-f]{16}", one.model_fingerprint)  # a folder is called so
        and all(type(size) is int and size > 0 for size in (one.vector_size, one.hidden_size))
        and one.stored_size == stored_size(one.vector_size)
        and math.isfinite(one.largest_norm)
        and one.largest_norm > 0
        and one.token_quantisation in get_args(TokenQuantisation)
        and all(column.kind in get_args(Kind) for column in one.columns)
        and all(type(text) is str for text in [*texts, *optional])
        and all(type(flag) is bool for flag in (one.mirrored, one.complete))
    )
    if not sound:
        raise ValueError


def read_manifests(database: Any, where: str) -> list[Manifest]:
    """All builds, oldest first.

    Raises:
        VectorIndexError: there is none, or it is damaged.
    """
    try:
        rows = database.open_table(TABLE).to_arrow().to_pylist()
    except (ValueError, OSError, RuntimeError) as error:
        absent = "not found" in str(error).lower()
        what = "there is no index here. Make one with: interbert index build MODEL SOURCE INDEX" if absent else _REMEDY
        raise VectorIndexError(f"{where}: {what}") from error
    try:
        texts = [str(row["manifest"]) for row in sorted(rows, key=lambda row: row["number"])]
    except (KeyError, TypeError) as error:
        raise VectorIndexError(f"{where}: does not say how it was built. {_REMEDY}") from error
    return [Manifest.from_json(text, where) for text in texts]


def append_manifest(database: Any, manifest: Manifest, number: int) -> None:
    """Add a build in one commit; ``number`` is its place in the order."""
    import pyarrow as pa

    row = pa.table({"number": pa.array([number], pa.int64()), "manifest": pa.array([manifest.to_json()])})
    if number or has_table(database, TABLE):
        database.open_table(TABLE).add(row)
    else:  # what a full disk or a kill left of a first one has no version that anyone could read
        database.create_table(TABLE, row, mode="overwrite" if TABLE in table_names(database) else "create")


def has_table(database: Any, name: str) -> bool:
    """Whether a table was made: a full disk or a kill leaves a folder without a version, which is listed, too."""
    try:
        database.open_table(name)
    except (ValueError, OSError, RuntimeError) as error:
        if "not found" in str(error).lower():
            return False
        raise
    return True


def table_names(database: Any) -> list[str]:
    """All tables of a LanceDB database."""
    names: list[str] = []
    page: str | None = None
    while True:
        answer = database.list_tables(page_token=page)
        names += answer.tables
        page = answer.page_token
        if not page:
            return names


def connect(path: str | Path) -> Any:
    """A LanceDB database whose readers always see the last commit.

    Raises:
        MissingExtraError: LanceDB is not installed.
        VectorIndexError: the folder or bucket cannot be opened.
    """
    os.environ.setdefault("LANCEDB_LOG", "error")  # its warnings are about its own doings
    os.environ.setdefault("LANCE_INCLUDE_VECTOR_CENTROIDS", "false")  # statistics are read for counts alone
    try:
        import lancedb
    except ImportError as error:
        raise MissingExtraError.of("lancedb", "search") from error
    try:
        return lancedb.connect(str(path), read_consistency_interval=timedelta(0))
    except (OSError, ValueError, RuntimeError) as error:  # a bucket that is not there, or not this user's
        raise VectorIndexError(f"{path}: cannot be opened ({first_line(error)}).") from error


def is_index(path: str | Path) -> bool:
    """Whether a local folder, or a URI, holds an index that was begun."""
    if "://" not in str(path):
        return any(Path(path, "manifest.lance", "_versions").glob("*.manifest"))
    try:
        return bool(read_manifests(connect(path), str(path)))
    except VectorIndexError:
        return False
