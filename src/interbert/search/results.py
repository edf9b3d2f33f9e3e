"""Results of queries as people and other programs take them: cells of a table, JSON and CSV."""

from __future__ import annotations

import csv
import io
import json
import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from interbert.errors import UsageError
from interbert.search.hits import Hit

SUFFIXES = (".json", ".jsonl", ".csv")
"""Of files of results: one JSON list, a line of JSON a query, a row a result."""
_HEAD_BYTES = 1 << 20
"""Of a query, and how it was searched, at the beginning of a file of results."""
_BEGUN = re.compile(r'(?:\[\n)?\{"query_id": .*, "query": .*, "searched": .*, "notes": \[')
_BEGINNING = ("query_id", "query", "rank", "product_id", "image_id", "match", "score", "texts", "similar", "estimated")


@dataclass(frozen=True)
class Results:
    """What one query found."""

    title: str
    """The query in words, as its results are headed."""
    hits: Sequence[Hit]
    """Best first."""
    query: str = ""
    """The text as it was asked."""
    query_id: str = ""
    """Its id, or number from 1."""
    columns: Sequence[str] = ()
    """Columns of the catalogue that are shown."""
    notes: Sequence[str] = field(default_factory=tuple)
    """What else to know of these results, a line each."""

    @property
    def scored(self) -> bool:
        """Whether the order is not that of the matches, and so needs the score beside it."""
        matches = [hit.probability for hit in self.hits]
        known = [match for match in matches if match is not None]
        return len(known) < len(matches) or known != sorted(known, reverse=True)

    def columns_of(self, hit: Hit) -> list[tuple[str, str]]:
        """The shown columns of a result that have a value, as texts."""
        return [(name, text) for name in self.columns if (text := cell(hit.metadata.get(name)))]


def cell(value: Any) -> str:
    """A catalogue's value as people read it; "" for none."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    return ", ".join(map(cell, value)) if isinstance(value, list | tuple) else str(value)


def require_format(path: str) -> None:
    """Check that results can be written into a file of this name.

    Raises:
        UsageError: it ends in nothing that is known.
    """
    if Path(path).suffix.lower() not in SUFFIXES:
        raise UsageError(f"search: results are written as {', '.join(SUFFIXES)}, not as {path}. Name such a file.")


def format_results(results: Iterable[Results], path: str) -> str:
    """The text of a file of results, by how the file's name ends.

    Every query has its results in their order, with the catalogue's columns that are shown. ``match`` is the model's
    probability, null where it was not computed; ``score`` is what the order follows, comparable within one query;
    ``estimated`` where the joint model did not read the image.
    """
    suffix = Path(path).suffix.lower()
    if suffix == ".csv":
        return _csv(list(results))
    lines = [json.dumps(_query(one), ensure_ascii=False, allow_nan=False, default=str) for one in results]
    return "".join(f"{line}\n" for line in lines) if suffix == ".jsonl" else "[\n" + ",\n".join(lines) + "\n]\n"


def _query(one: Results) -> dict[str, Any]:
    return {
        "query_id": one.query_id,
        "query": one.query,
        "searched": one.title,
        "notes": list(one.notes),
        "results": [_result(hit, one.columns) for hit in one.hits],
    }


def _result(hit: Hit, columns: Sequence[str]) -> dict[str, Any]:
    return {
        "rank": hit.rank,
        "product_id": hit.product_id,
        "image_id": hit.id,
        "match": hit.probability,
        "score": hit.score,
        "texts": list(hit.texts),
        "similar": list(hit.similar),
        "estimated": hit.estimated,
        "columns": {name: _plain(hit.metadata.get(name)) for name in columns},
    }


def _plain(value: Any) -> Any:
    """A value that JSON has; none for what is no number."""
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _csv(results: Sequence[Results]) -> str:
    columns = list(dict.fromkeys(name for one in results for name in one.columns))
    written = io.StringIO()
    writer = csv.writer(written, lineterminator="\n")
    writer.writerow([*_BEGINNING, *columns])
    for one in results:
        for hit in one.hits:
            row = _result(hit, columns)
            beginning = [one.query_id, one.query, row["rank"], hit.product_id, hit.id, row["match"], row["score"]]
            said = [" / ".join(hit.texts), " ".join(hit.similar), str(hit.estimated).lower()]
            rest = [*said, *(cell(row["columns"][name]) for name in columns)]
            writer.writerow([*beginning, *rest])
    return written.getvalue()


def recognises(file: Path) -> bool:
    """Whether a file has results in it, by its beginning."""
    with file.open("rb") as opened:
        head = opened.read(_HEAD_BYTES).decode("utf-8", "replace")
    return _BEGUN.match(head) is not None or head.startswith(",".join(_BEGINNING[:5]))
