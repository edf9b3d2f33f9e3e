"""Judgements: which products are right for a query, and how right (qrels, click logs, KDD Cup's training file).

A file has a row per judgement with the columns ``query``, ``product_id`` and, if it has grades, ``grade``:
tab-separated (.tsv, .txt), comma-separated (.csv) or JSON lines (.jsonl, .ndjson), plain or with .gz. Without grades
every row is right, as in a log of clicks. Other columns are passed over.
"""

from __future__ import annotations

import csv
import gzip
import hashlib
import json
import math
import sys
from array import array
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import IO, Any, cast

import numpy as np
from numpy.typing import NDArray

from interbert.data.pairs import normal_text
from interbert.errors import ColumnError, DataError, SourceError, UsageError
from interbert.regions.schema import CaptionRow

Int64 = NDArray[np.int64]

_SEPARATORS = {".tsv": "\t", ".txt": "\t", ".csv": ","}
_JSON_LINES = (".jsonl", ".ndjson")
_NAMES = {
    "query": ("query", "query_text", "text", "search_term", "keyword"),
    "product_id": ("product_id", "productid", "item_id", "itemid", "product", "sku", "doc_id", "docid"),
    "grade": ("grade", "relevance", "rel", "label", "gain"),
}
_MOST_NAMED = 5
_LARGEST_GRADE = 30.0
"""A product's gain is 2^grade - 1: beyond this nothing else counts."""
_LONGEST_FIELD = 1 << 28
"""KDD Cup's files carry the regions of a picture in a field."""

Row = Mapping[str, Any]


@dataclass(frozen=True)
class Qrels:
    """All judgements of a file, each (query, product) once with its largest grade.

    Queries that are identical but for case and spaces are one.
    """

    where: str
    """The file, for messages."""
    queries: tuple[str, ...]
    products: tuple[str, ...]
    query_of: Int64
    """[m] index of each judgement's query; judgements lie in the order of their products."""
    product_of: Int64
    """[m]"""
    grades: NDArray[np.float64]
    """[m], 0 means judged and wrong."""

    @classmethod
    def read(cls, path: str | Path, columns: Sequence[str] = ()) -> Qrels:
        """Read a file.

        Args:
            path: of the file.
            columns: names of the query, the product and (if there are grades) the grade; the usual ones when empty.

        Raises:
            SourceError: there is no such file, it is of another kind, or it is empty.
            ColumnError: a column is missing.
            DataError: rows are bad; they are named.
        """
        path = Path(path)
        if not path.is_file():
            raise SourceError(f"{path}: there is no such file of judgements.")
        if len(columns) not in (0, 2, 3):
            raise UsageError(f"{path}: name the columns of the query, the product and the grade, in this order.")
        builder = _Builder(str(path), tuple(columns))
        try:
            for number, row in _rows(path):
                builder.add(number, row)
        except (OSError, EOFError, UnicodeDecodeError, csv.Error) as error:
            raise SourceError(f"{path}: cannot be read ({error}). It should be text in UTF-8, whole.") from error
        return builder.finished()

    def __len__(self) -> int:
        return len(self.grades)

    @property
    def fingerprint(self) -> str:
        """Identifies the judgements: the first 16 hex digits of their SHA-256."""
        digest = hashlib.sha256()
        for names in (self.queries, self.products):
            digest.update("\n".join(names).encode("utf-8", "surrogatepass") + b"\0")
        for numbers in (self.query_of, self.product_of, self.grades):
            digest.update(numbers.tobytes())
        return digest.hexdigest()[:16]

    def of_product(self, product: int) -> slice:
        """Where the judgements of a product (by index) lie."""
        first, last = np.searchsorted(self.product_of, [product, product + 1])
        return slice(int(first), int(last))

    def right(self, min_grade: float | None) -> NDArray[np.bool_]:
        """bool [m]: graded at least ``min_grade``; above 0 when not given."""
        return self.grades > 0 if min_grade is None else self.grades >= min_grade


@dataclass(frozen=True)
class Judged:
    """Judgements as pairs to train on."""

    qrels: Qrels
    min_grade: float | None = None
    """A query and a product graded at least this are a pair, above 0 when not given. What is graded above 0 and below
    this is no pair, and no negative either."""

    @classmethod
    def read(cls, path: str | Path, columns: Sequence[str] = (), min_grade: float | None = None) -> Judged:
        """Read a file, as :meth:`Qrels.read` does."""
        return cls(Qrels.read(path, columns), min_grade)

    @cached_property
    def _product_index(self) -> dict[str, int]:
        return {name: place for place, name in enumerate(self.qrels.products)}

    @cached_property
    def _right(self) -> NDArray[np.bool_]:
        return self.qrels.right(self.min_grade)

    def names_any(self, rows: Iterable[CaptionRow]) -> bool:
        """Whether a query is right for the product of one of these rows."""
        return any(self.queries(row)[0] for row in rows)

    def queries(self, row: CaptionRow) -> tuple[list[str], list[str]]:
        """Queries that a row's product is right for, and those that it is only somewhat right for."""
        product = self._product_index.get(row.product_id or row.picture_id)
        if product is None:
            return [], []
        where = self.qrels.of_product(product)
        right, grades = self._right[where], self.qrels.grades[where]
        texts = [self.qrels.queries[query] for query in self.qrels.query_of[where].tolist()]
        somewhat = ~right & (grades > 0)
        return [texts[at] for at in np.flatnonzero(right)], [texts[at] for at in np.flatnonzero(somewhat)]


class _Builder:
    """Collects rows and what is wrong with some."""

    def __init__(self, where: str, columns: tuple[str, ...]) -> None:
        self._where = where
        self._columns = columns
        self._names: dict[str, str] = {}
        self._queries: dict[str, int] = {}
        self._texts: list[str] = []
        self._products: dict[str, int] = {}
        self._pairs = array("q")
        self._grades = array("d")
        self._bad: list[tuple[int, str]] = []
        self._number_bad = 0

    def add(self, number: int, row: Row | str) -> None:
        """The row of that number; ``row`` is what is wrong with it when it cannot be read at all."""
        if isinstance(row, str):
            self._refuse(number, row)
            return
        if not self._names:
            self._names = self._resolved(list(row))
        query, product = (_text(row.get(self._names[name])) for name in ("query", "product_id"))
        grade = _grade(row.get(self._names["grade"])) if "grade" in self._names else 1.0
        if not query or not product:
            self._refuse(number, f"has no {self._names['product_id' if query else 'query']}")
        elif isinstance(grade, str):
            self._refuse(number, grade)
        else:
            place = self._queries.setdefault(normal_text(query), len(self._texts))
            if place == len(self._texts):
                self._texts.append(query)
            self._pairs.extend((place, self._products.setdefault(product, len(self._products))))
            self._grades.append(grade)

    def _refuse(self, number: int, reason: str) -> None:
        self._number_bad += 1
        if len(self._bad) <= _MOST_NAMED:
            self._bad.append((number, reason))

    def finished(self) -> Qrels:
        """Everything that was added."""
        if self._bad:
            number, reason = self._bad[0]
            others = ", ".join(str(one) for one, _ in self._bad[1:])
            dots = ", ..." if self._number_bad > len(self._bad) else ""
            more = f" {self._number_bad - 1} more bad rows: {others}{dots}." if others else ""
            raise DataError(f"{self._where}, row {number}: {reason}.{more} Mend or remove them.")
        if not len(self._grades):
            raise SourceError(f"{self._where}: holds no judgements.")
        pairs = np.frombuffer(self._pairs, dtype=np.int64).reshape(-1, 2)
        grades = np.frombuffer(self._grades, dtype=np.float64)
        order = np.lexsort((-grades, pairs[:, 0], pairs[:, 1]))
        pairs, grades = pairs[order], grades[order]
        first = np.ones(len(pairs), dtype=np.bool_)
        first[1:] = (pairs[1:] != pairs[:-1]).any(axis=1)
        pairs = pairs[first]
        return Qrels(
            self._where,
            tuple(self._texts),
            tuple(self._products),
            pairs[:, 0].copy(),
            pairs[:, 1].copy(),
            grades[first],
        )

    def _resolved(self, available: list[str]) -> dict[str, str]:
        """Column of the query, the product and, if there is one, the grade."""
        if self._columns:
            for name in self._columns:
                if name not in available:
                    raise ColumnError.missing(name, available, self._where)
            return dict(zip(_NAMES, self._columns, strict=False))
        lowered = {str(name).strip().lower(): name for name in available}
        found = {
            role: next((lowered[name] for name in names if name in lowered), None) for role, names in _NAMES.items()
        }
        for role in ("query", "product_id"):
            if found[role] is None:
                raise ColumnError(
                    f"{self._where}: its first row names no column {role!r}. Columns: "
                    f"{', '.join(str(name)[:40] for name in available[:8])}. Say which is which with --qrels_columns "
                    "QUERY,PRODUCT,GRADE, or give it a first row of names."
                )
        return {role: name for role, name in found.items() if name is not None}


def _rows(path: Path) -> Iterator[tuple[int, Row | str]]:
    """Number, counted as editors count lines, and fields of each row, or what is wrong with it."""
    kind = path.suffixes[-2] if path.suffix == ".gz" and len(path.suffixes) > 1 else path.suffix
    kind = kind.lower()
    if kind not in _SEPARATORS and kind not in _JSON_LINES:
        raise SourceError(f"{path}: judgements come as .tsv, .csv or .jsonl (or these with .gz), not as {kind!r}.")
    with _opened(path) as lines:
        yield from _json_rows(lines) if kind in _JSON_LINES else _separated_rows(lines, _SEPARATORS[kind])


def _opened(path: Path) -> IO[str]:
    if path.suffix == ".gz":
        return cast(IO[str], gzip.open(path, "rt", encoding="utf-8-sig", newline=""))
    return path.open(encoding="utf-8-sig", newline="")


def _separated_rows(lines: IO[str], separator: str) -> Iterator[tuple[int, Row | str]]:
    csv.field_size_limit(max(csv.field_size_limit(), min(sys.maxsize, _LONGEST_FIELD)))  # the process's: never lowered
    # a tab-separated log has quotes as they were typed
    reader = csv.reader(lines, delimiter=separator, quoting=csv.QUOTE_NONE if separator == "\t" else csv.QUOTE_MINIMAL)
    names = next(reader, None)
    if names is None:
        return
    for values in reader:
        if not values:
            continue
        if len(values) != len(names):
            yield reader.line_num, f"has {len(values)} fields, the first row has {len(names)}"
        else:
            yield reader.line_num, dict(zip(names, values, strict=True))


def _json_rows(lines: IO[str]) -> Iterator[tuple[int, Row | str]]:
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except (ValueError, RecursionError):
            yield number, "is no JSON"
            continue
        yield number, row if isinstance(row, dict) else "is no JSON object"


def _text(value: Any) -> str:
    """A field as text; numbers are ids; anything else is none."""
    return str(value).strip() if isinstance(value, str | int) and not isinstance(value, bool) else ""


def _grade(value: Any) -> float | str:
    """A field as a grade, or what is wrong with it."""
    try:
        grade = float(value)
    except (TypeError, ValueError):
        return f"grade {str(value)[:40]!r} is no number"
    if not 0 <= grade <= _LARGEST_GRADE or math.isnan(grade):
        return f"grade {grade:g} must be from 0 to {_LARGEST_GRADE:g} (a product's gain is 2^grade - 1)"
    return grade
