"""Judgements: which products are right for a query, and how right (qrels, click logs, KDD Cup's training file).

A file has a row per judgement with the columns ``query``, ``product_id`` and, if it has grades, ``grade``:
tab-separated (.tsv, .txt), comma-separated (.csv) or JSON lines (.jsonl, .ndjson), plain or with .gz. Without grades
every row is right, as in a log of clicks. Other columns are passed over. Files that name queries by id, as BEIR's
(``query-id, corpus-id, score``), are read with the file of the queries' texts (:mod:`interbert.data.row_files`).
"""

from __future__ import annotations

import hashlib
import math
import re
from array import array
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from interbert.data.pairs import normal_text
from interbert.data.row_files import (
    QUERY_IDS,
    BadRows,
    QueryTexts,
    Row,
    cell_text,
    read_query_texts,
    read_rows,
)
from interbert.errors import ColumnError, DataError, SourceError, UsageError
from interbert.regions.schema import CaptionRow
from interbert.utils.texts import too_long

Int64 = NDArray[np.int64]

_NAMES = {
    "query": ("query", "query_text", "text", "search_term", "keyword"),
    "product_id": (
        *("product_id", "productid", "item_id", "itemid", "product", "sku", "doc_id", "docid"),
        *("corpus-id", "corpus_id", "doc-id"),
    ),
    "grade": ("grade", "relevance", "rel", "label", "gain"),
}
_GRADE = re.compile(r"label|grade|relevan|rating|judg", re.IGNORECASE)
"""What a column of grades may be called, such as ``esci_label``."""
_LARGEST_GRADE = 30.0
"""A product's gain is 2^grade - 1: beyond this nothing else counts."""
_NO_TEXT = re.compile(r"[A-Za-z]{0,8}[-_:.]?\d+")
"""What a query's number looks like: 17, q0, PLAIN-2."""


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
    def read(cls, path: str | Path, columns: Sequence[str] = (), query_texts: str | Path | None = None) -> Qrels:
        """Read a file.

        Args:
            path: of the file.
            columns: names of the query, the product and (if there are grades) the grade; the usual ones when empty.
            query_texts: file with the texts of queries that ``path`` names by id.

        Raises:
            SourceError: there is no such file, it is of another kind, or it is empty.
            ColumnError: a column is missing.
            DataError: rows are bad; they are named. Or queries are ids, and there is no file of their texts.
        """
        path = Path(path)
        if not path.is_file():
            raise SourceError(f"{path}: there is no such file of judgements.")
        if len(columns) not in (0, 2, 3):
            raise UsageError(f"{path}: name the columns of the query, the product and the grade, in this order.")
        builder = _Builder(str(path), tuple(columns), None if query_texts is None else read_query_texts(query_texts))
        for number, row in read_rows(path, "judgements"):
            builder.add(number, row)
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

    def relevant(self, min_grade: float | None) -> NDArray[np.bool_]:
        """bool [m]: graded at least ``min_grade``; above 0 when not given."""
        return self.grades > 0 if min_grade is None else self.grades >= min_grade


@dataclass(frozen=True)
class QrelsTexts:
    """Judgements as pairs to train on."""

    qrels: Qrels
    min_grade: float | None = None
    """A query and a product graded at least this are a pair, above 0 when not given. What is graded above 0 and below
    this is no pair, and no negative either."""

    @classmethod
    def read(
        cls,
        path: str | Path,
        columns: Sequence[str] = (),
        min_grade: float | None = None,
        query_texts: str | Path | None = None,
    ) -> QrelsTexts:
        """Read a file, as :meth:`Qrels.read` does."""
        return cls(Qrels.read(path, columns, query_texts), min_grade)

    @cached_property
    def _product_index(self) -> dict[str, int]:
        return {name: place for place, name in enumerate(self.qrels.products)}

    @cached_property
    def _relevant(self) -> NDArray[np.bool_]:
        return self.qrels.relevant(self.min_grade)

    def names_any(self, rows: Iterable[CaptionRow]) -> bool:
        """Whether a query is right for the product of one of these rows."""
        return any(self.queries(row).relevant for row in rows)

    def queries(self, row: CaptionRow) -> JudgedQueries:
        """Queries that a row's product is judged for."""
        product = self._product_index.get(row.product_id or row.image_id)
        if product is None:
            return JudgedQueries([], [], [])
        where = self.qrels.of_product(product)
        relevant, grades = self._relevant[where], self.qrels.grades[where]
        texts = [self.qrels.queries[query] for query in self.qrels.query_of[where].tolist()]
        kinds = (relevant, ~relevant & (grades > 0), ~relevant & (grades == 0))
        return JudgedQueries(*([texts[at] for at in np.flatnonzero(kind)] for kind in kinds))


class JudgedQueries(NamedTuple):
    """Queries that a product is judged for."""

    relevant: list[str]
    """It is right for them."""
    somewhat: list[str]
    """It is only somewhat right for them."""
    wrong: list[str]
    """It was judged and is wrong: grade 0."""


class _Builder:
    """Collects rows and what is wrong with some."""

    def __init__(self, where: str, columns: tuple[str, ...], query_texts: QueryTexts | None = None) -> None:
        self._where = where
        self._columns = columns
        self._query_texts = query_texts
        self._names: dict[str, str] = {}
        self._queries: dict[str, int] = {}
        self._texts: list[str] = []
        self._products: dict[str, int] = {}
        self._pairs = array("q")
        self._grades = array("d")
        self._bad = BadRows(where)

    def add(self, number: int, row: Row | str) -> None:
        """The row of that number; ``row`` is what is wrong with it when it cannot be read at all."""
        if isinstance(row, str):
            self._bad.add(number, row)
            return
        if not self._names:
            self._names = self._resolved(list(row))
        query, product = (cell_text(row.get(self._names[name])) for name in ("query", "product_id"))
        grade = _grade(row.get(self._names["grade"])) if "grade" in self._names else 1.0
        if not query or not product:
            self._bad.add(number, f"has no {self._names['product_id' if query else 'query']}")
        elif long := too_long(query, product):
            self._bad.add(number, long)
        elif isinstance(grade, str):
            self._bad.add(number, grade)
        elif self._query_texts is not None and query not in self._query_texts.texts:
            self._bad.add(number, f"query {query[:40]!r} has no text in {self._query_texts.where}")
        else:
            query = query if self._query_texts is None else self._query_texts.texts[query]
            place = self._queries.setdefault(normal_text(query), len(self._texts))
            if place == len(self._texts):
                self._texts.append(query)
            self._pairs.extend((place, self._products.setdefault(product, len(self._products))))
            self._grades.append(grade)

    def finished(self) -> Qrels:
        """Everything that was added."""
        self._bad.refuse()
        if not len(self._grades):
            raise SourceError(f"{self._where}: holds no judgements.")
        found_by_name = self._query_texts is None and not self._columns
        if found_by_name and len(self._texts) > 1 and all(map(_NO_TEXT.fullmatch, self._texts)):
            raise self._ids_alone(self._names["query"])
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
        """Column of the query (its id, where the texts stand apart), the product and, if there is one, the grade."""
        if self._columns:
            for name in self._columns:
                if name not in available:
                    raise ColumnError.missing(name, available, self._where)
            found = dict(zip(_NAMES, self._columns, strict=False))
        else:
            found = self._usual(available)
        if self._query_texts is None and found["query"].strip().lower() in QUERY_IDS:
            raise self._ids_alone(found["query"])
        return found

    def _usual(self, available: list[str]) -> dict[str, str]:
        lowered = {str(name).strip().lower(): name for name in available}
        names = dict(_NAMES)
        names["query"] = (*names["query"], *QUERY_IDS) if self._query_texts is None else (*QUERY_IDS, *names["query"])
        found = {
            role: next((lowered[name] for name in called if name in lowered), None) for role, called in names.items()
        }
        if found["grade"] is None and (found["query"] or "").strip().lower() in QUERY_IDS:
            found["grade"] = lowered.get("score")  # BEIR's; elsewhere a score is what some system gave
        for role in ("query", "product_id"):
            if found[role] is None:
                raise ColumnError(
                    f"{self._where}: its first row names no column {role!r}. Columns: "
                    f"{', '.join(str(name)[:40] for name in available[:8])}. Say which is which with --qrels-columns "
                    "QUERY,PRODUCT,GRADE, or give it a first row of names."
                )
        unread = next((str(name) for name in available if found["grade"] is None and _GRADE.search(str(name))), None)
        if unread is not None:
            raise ColumnError(
                f"{self._where}: its column {unread[:40]!r} may be the grade, and is not read. Name the columns with "
                "--qrels-columns QUERY,PRODUCT,GRADE; a grade is a number."
            )
        return {role: name for role, name in found.items() if name is not None}

    def _ids_alone(self, column: str) -> DataError:
        shown = f" ({', '.join(repr(text[:40]) for text in self._texts[:3])})" if self._texts else ""
        return DataError(
            f"{self._where}: its column {column[:40]!r} holds ids of queries{shown}, and ids are no texts to rank by. "
            "Give the file that has their texts (BEIR's queries.jsonl) with --query-texts FILE; if they are what "
            "people typed, name the columns with --qrels-columns."
        )


def _grade(value: Any) -> float | str:
    """A field as a grade, or what is wrong with it."""
    try:
        grade = float(value)
    except (TypeError, ValueError):
        return f"grade {str(value)[:40]!r} is no number"
    if not 0 <= grade <= _LARGEST_GRADE or math.isnan(grade):
        return f"grade {grade:g} must be from 0 to {_LARGEST_GRADE:g} (a product's gain is 2^grade - 1)"
    return grade
