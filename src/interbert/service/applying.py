"""Lines of a write applied to an index: each with what was done to it, and a bad one leaves the others alone."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from interbert.errors import BusyError, CheckpointError, StorageError, VectorIndexError
from interbert.search.index import ProductIndex
from interbert.search.index_model import index_encoder
from interbert.search.query_encoder import ProductEncoder
from interbert.search.restore_points import restore_points
from interbert.search.row_changes import Outcome, ProductRow, Status, remove_products, write_rows
from interbert.service.errors import ServiceError
from interbert.service.product_lines import LineError, LineReader
from interbert.service.spool import Chunk

if TYPE_CHECKING:
    from interbert.search.engine import SearchEngine

_log = logging.getLogger(__name__)
T = TypeVar("T")

Kind = Literal["products.write", "products.update", "products.remove"]
"""Add products or bring them up to date; change columns and texts alone; remove products."""

PASSING = (BusyError, StorageError, VectorIndexError, CheckpointError)
"""Errors that are not a line's, and pass."""
_NOTES: dict[type[Exception], str] = {
    BusyError: "Another command is writing the index. The task goes on when that is done.",
    StorageError: "The disk of the index is full or not writable. The task goes on when there is room.",
    ServiceError: "The database cannot be written now. The task goes on when it can.",
}
LISTED = 1000
"""Lines of a task whose results are kept; of longer ones only the counts, and the lines that were rejected."""
_MOST_ERRORS = 10_000
"""Rejected lines of a task that are kept."""


def note_of(error: Exception) -> str:
    """What a task waits for, without the names of folders, which the log has."""
    other = "The index or its model cannot be read now. The task goes on when it can."
    return next((words for kind, words in _NOTES.items() if isinstance(error, kind)), other)


class RebuiltError(Exception):
    """A rebuilt index, or an earlier version, took the place of what the first lines of a task were written to."""


def mark_of(index: ProductIndex) -> str:
    """A build and the last time that its index went back to an earlier version: lines written before are gone.

    Raises:
        VectorIndexError: it cannot be read.
    """
    with index.reading():
        backs = [one.number for one in restore_points(index.table) if one.made_by == "rollback"]
    return f"{index.manifest.table}@{max(backs, default=0)}"


@dataclass(frozen=True)
class LineResult:
    """What was done to a line."""

    line: int
    """From 1."""
    product_id: str | None
    image_id: str | None
    status: Status
    error: dict[str, str] | None = None
    """``code`` and ``message``."""


@dataclass
class Tally:
    """What came of a task."""

    counts: Counter[str] = field(default_factory=Counter)
    results: list[LineResult] = field(default_factory=list)
    """Of the first lines."""
    error: str | None = None
    """Why the task as a whole could not be done."""
    _noted: int = 0

    def add(self, results: Sequence[LineResult]) -> list[tuple[int, str | None, str]]:
        """Count lines; returns those that were rejected, as tasks keep them."""
        self.counts.update(one.status for one in results)
        self.results += results[: LISTED + 1 - len(self.results)]
        errors = [(one.line, one.product_id, one.error["message"]) for one in results if one.error is not None]
        errors = errors[: _MOST_ERRORS - self._noted]
        self._noted += len(errors)
        return errors

    def result(self) -> dict[str, Any]:
        """As tasks keep it."""
        if self.error is not None:
            return {"error": self.error}
        listed = [asdict(one) for one in self.results] if len(self.results) <= LISTED else None
        return {"counts": dict(self.counts), "results": listed}

    def written(self) -> dict[str, int]:
        """Lines by result, as the metrics name them."""
        names = {"rejected": "skipped"}
        return {names.get(status, status): count for status, count in self.counts.items() if status != "unchanged"}


class ChunkWriter:
    """Applies lines to an index.

    Args:
        engine: whose model encodes images.
        megapixels: images with more are refused.
    """

    def __init__(self, engine: SearchEngine, megapixels: float) -> None:
        self._engine, self._megapixels = engine, megapixels

    def write(self, kind: Kind, chunk: Chunk, mark: str | None, index: ProductIndex) -> list[LineResult]:
        """Apply lines to a build that is held; returns what was done to each.

        Args:
            kind: what is done with the lines.
            chunk: the lines.
            mark: of what the task's lines before these were written to.
            index: the newest build.

        Raises:
            RebuiltError: it is another build, or went back to an earlier version.
            BusyError, StorageError, VectorIndexError, CheckpointError: nothing of the lines was counted; try again.
        """
        if mark not in (None, mark_of(index)):
            raise RebuiltError
        reader = LineReader(index.manifest, self._megapixels)
        if kind == "products.remove":
            return _each(chunk, reader.removal, lambda wanted: remove_products(index, wanted), lambda one: one[0])
        read: Callable[[bytes], ProductRow] = reader.product if kind == "products.write" else reader.update
        encoder = self._encoder(index)
        return _each(chunk, read, lambda rows: write_rows(index, encoder, rows), lambda row: row.product_id)

    def _encoder(self, index: ProductIndex) -> ProductEncoder:
        """The model of a build: the engine's, once that uses the build."""
        searched, encoder = self._engine.refresh()
        known = getattr(searched, "manifest", None)
        if known is not None and known.model_fingerprint == index.manifest.model_fingerprint:
            return encoder
        return index_encoder(index)


def _each(
    chunk: Chunk,
    read: Callable[[bytes], T],
    apply: Callable[[Sequence[T]], list[Outcome]],
    product_of: Callable[[T], str],
) -> list[LineResult]:
    """Read lines, apply those that can be used, and tell of each what was done."""
    results: dict[int, LineResult] = {}
    rows: list[tuple[int, T]] = []
    for number, line in zip(chunk.numbers, chunk.lines, strict=True):
        try:
            rows.append((number, read(line)))
        except LineError as error:
            detail = {"code": error.code, "message": error.reason}
            results[number] = LineResult(number, error.product_id, None, "rejected", detail)
    outcomes = _applied(apply, [row for _, row in rows])
    for (number, row), outcome in zip(rows, outcomes, strict=True):
        problem = None if outcome.code is None else {"code": outcome.code, "message": outcome.reason}
        results[number] = LineResult(number, product_of(row), outcome.image_id, outcome.status, problem)
    return [results[number] for number in chunk.numbers]


def _applied(apply: Callable[[Sequence[T]], list[Outcome]], rows: Sequence[T]) -> list[Outcome]:
    """What was done to each row; after an unforeseen error each row is tried alone, so that one fails by itself."""
    if not rows:
        return []
    try:
        return apply(rows)
    except PASSING:
        raise
    except Exception:
        if len(rows) == 1:
            _log.exception("a product cannot be written")
            return [Outcome("rejected", None, "internal", "An error of the service; its log says more.")]
        return [outcome for row in rows for outcome in _applied(apply, [row])]
