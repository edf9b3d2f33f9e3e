"""Texts of queries that judgements name by id: BEIR's ``queries.jsonl`` (``_id, text``), or a table of both."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from interbert.data.row_files import BadRows, Row, cell_text, read_rows, too_long
from interbert.errors import ColumnError, SourceError

QUERY_IDS = ("query-id", "query_id", "queryid", "qid")
"""Columns that name a query by its id."""
_IDS = ("_id", *QUERY_IDS, "text_id", "id")
_TEXTS = ("text", "query_text", "query", "title")


@dataclass(frozen=True)
class QueryTexts:
    """The texts of a file by query id."""

    where: str
    """The file, for messages."""
    texts: Mapping[str, str]


def read_query_texts(path: str | Path) -> QueryTexts:
    """Read a file of queries: .jsonl, .tsv or .csv with a first row of names, and these with .gz.

    Raises:
        SourceError: there is no such file, it is of another kind, or it is empty.
        ColumnError: it has no column of ids or of texts.
        DataError: rows have no id or no text, or one id has two texts; they are named.
    """
    where = str(path)
    texts: dict[str, str] = {}
    bad = BadRows(where)
    names: tuple[str, str] | None = None
    for number, row in read_rows(Path(path), "texts of queries"):
        if isinstance(row, str):
            bad.add(number, row)
            continue
        names = names or _columns(row, where)
        query, text = (cell_text(row.get(name)) for name in names)
        if not query or not text:
            bad.add(number, f"has no {names[1] if query else names[0]}")
        elif long := too_long(query, text):
            bad.add(number, long)
        elif texts.setdefault(query, text) != text:
            bad.add(number, f"query {query[:40]!r} has another text than before")
    bad.refuse()
    if not texts:
        raise SourceError(f"{where}: holds no texts of queries.")
    return QueryTexts(where, texts)


def _columns(row: Row, where: str) -> tuple[str, str]:
    found = [next((name for name in called if name in row), None) for called in (_IDS, _TEXTS)]
    if found[0] is None or found[1] is None:
        raise ColumnError(
            f"{where}: its first row names no column of query ids ({', '.join(_IDS)}) and of texts "
            f"({', '.join(_TEXTS)}). Columns: {', '.join(str(name)[:40] for name in list(row)[:8])}."
        )
    return found[0], found[1]
