"""Texts alone, to learn a language from: lines of text files, and columns of tables (jsonl, csv, tsv, parquet)."""

from __future__ import annotations

import csv
import hashlib
import io
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from interbert.data.row_files import cell_text, read_lines, read_rows
from interbert.data.texts import FlatTexts
from interbert.errors import ColumnError, SourceError, first_line
from interbert.utils.bounded_parquet import counted_batches, require_bounded
from interbert.utils.files import atomic_write
from interbert.utils.texts import clean_text, too_long

_LINES = (".txt", ".text")
_WHAT = "texts"
_USUAL = ("title", "title_zh", "text", "query", "caption", "name")
"""Columns that are taken when none is named: the first of them that a file has."""
_LISTED = 100_000
"""Rows left out that are listed; all are counted."""


@dataclass
class LeftOut:
    """Rows that hold no text.

    Attributes:
        count: of all of them.
        rows: file, row and reason of the first ones.
    """

    count: int = 0
    rows: list[tuple[str, int, str]] = field(default_factory=list)

    def add(self, file: str, row: int, reason: str) -> None:
        """One row."""
        self.count += 1
        if len(self.rows) < _LISTED:
            self.rows.append((file, row, reason))

    def write(self, path: Path) -> None:
        """Write what is listed as a table: file, row, reason.

        Raises:
            StorageError: it cannot be written.
        """
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerows([("file", "row", "reason"), *self.rows])
        atomic_write(path, text.getvalue())


@dataclass(frozen=True)
class Texts:
    """What was read.

    Attributes:
        texts: each once, with single spaces.
        repeated: texts that were read before.
        left_out: rows without a text.
        fingerprint: changes when a text does, or their order.
    """

    texts: FlatTexts
    repeated: int
    left_out: LeftOut
    fingerprint: str


def read_texts(sources: Sequence[str], columns: Sequence[str] = ()) -> Texts:
    """Texts of files, each text once.

    Args:
        sources: files, or patterns such as ``shards/train-*.parquet``.
        columns: of tables; of a file that has none of them an error; when empty the first of the usual ones.

    Raises:
        SourceError: a file is missing, of another kind, or cannot be read; or there are no texts at all.
        ColumnError: a table has no such column.
    """
    left_out, digest = LeftOut(), hashlib.blake2b(digest_size=16)
    seen: set[bytes] = set()
    repeated = 0

    def new_texts() -> Iterator[str]:
        nonlocal repeated
        for text in _all_texts(sources, columns, left_out):
            key = hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest()
            if key in seen:
                repeated += 1
                continue
            seen.add(key)
            digest.update(key)
            yield text

    texts = FlatTexts(new_texts())
    if not len(texts):
        raise SourceError(f"{', '.join(sources)}: no texts{_of(left_out)}. Name the column with --text-columns.")
    return Texts(texts, repeated, left_out, digest.hexdigest())


def _of(left_out: LeftOut) -> str:
    return f" ({left_out.count:,} rows, the first: {left_out.rows[0][2]})" if left_out.count else ""


def _all_texts(sources: Sequence[str], columns: Sequence[str], left_out: LeftOut) -> Iterator[str]:
    for file in (file for source in sources for file in _files(source)):
        for row, value in _values(file, columns):
            text = clean_text(value) if isinstance(value, str) else ""
            reason = _wrong(value, text)
            if reason:
                left_out.add(str(file), row, reason)
            else:
                yield text


def _wrong(value: Any, text: str) -> str | None:
    """What is wrong with a value; None for a text."""
    if isinstance(value, ValueError):
        return str(value)
    return too_long(text) if text else "has no text"


def _files(source: str) -> list[Path]:
    path = Path(source).expanduser()
    if path.is_file():
        return [path]
    if "*" in path.name:
        found = sorted(one for one in path.parent.glob(path.name) if one.is_file())
        if found:
            return found
    if path.is_dir():
        raise SourceError(f"{source}: is a folder. Name its files, such as '{source.rstrip('/')}/train-*.parquet'.")
    raise SourceError(f"{source}: there is no such file of texts.")


def _values(file: Path, columns: Sequence[str]) -> Iterator[tuple[int, Any]]:
    """Row number and value of each text; an error in the place of a row that cannot be read."""
    kinds = [one.lower() for one in file.suffixes]
    kind = kinds[-2] if kinds[-1:] == [".gz"] and len(kinds) > 1 else "".join(kinds[-1:])
    if kind in _LINES:
        return read_lines(file, _WHAT)
    if kind == ".parquet":
        return _parquet_values(file, columns)
    return _row_values(file, columns)


def _row_values(file: Path, columns: Sequence[str]) -> Iterator[tuple[int, Any]]:
    there: dict[str, None] = {}  # rows of JSON need not have the same columns
    for number, row in read_rows(file, _WHAT):
        if isinstance(row, str):
            yield number, ValueError(row)
            continue
        there |= dict.fromkeys(map(str, row))
        for name in columns or [name for name in _USUAL if name in row][:1] or _USUAL[:1]:
            yield from ((number, text) for text in _texts_of(row.get(name)))
    if there:
        _columns(file, list(there), columns)


def _parquet_values(file: Path, columns: Sequence[str]) -> Iterator[tuple[int, Any]]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    row = 0
    try:
        require_bounded(file)
        chosen = list(_columns(file, pq.read_schema(file).names, columns))
        for batch in counted_batches(file, chosen):
            for values in zip(*(batch.column(name).to_pylist() for name in chosen), strict=True):
                row += 1
                yield from ((row, text) for value in values for text in _texts_of(value))
    except UnicodeDecodeError as error:
        raise SourceError(
            f"{file}: a text after row {row} is not in UTF-8 ({first_line(error)}). Write it anew."
        ) from error
    except (pa.ArrowException, OSError) as error:
        raise SourceError(f"{file}: cannot be read ({first_line(error)}). Is it a whole parquet file?") from error


def _texts_of(value: Any) -> Iterable[str]:
    """A value's texts: of a list each, as ``interbert extract`` reads it."""
    return map(cell_text, value) if isinstance(value, list) and value else (cell_text(value),)


def _columns(file: Path, there: Sequence[str], wanted: Iterable[str]) -> Sequence[str]:
    chosen = list(wanted) or [name for name in _USUAL if name in there][:1]
    missing = [name for name in chosen if name not in there]
    if missing or not chosen:
        what = f"no column {missing[0]!r}" if missing else "none of the usual columns of texts"
        raise ColumnError(f"{file}: has {what}. Columns: {', '.join(there[:20])}. Name them with --text-columns.")
    twice = [name for name in chosen if list(there).count(name) > 1]
    if twice:
        raise ColumnError(f"{file}: has two columns {twice[0][:40]!r}. Rename or remove one.")
    return chosen
