"""The queries of a search: those of the command line, or of a file."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from interbert.errors import SourceError, UsageError, shortened
from interbert.utils.texts import too_long, whole_text

_COLUMNS = ("text", "query_text", "query", "title")
_IDS = ("_id", "query_id", "query-id", "qid", "text_id", "id")
_MOST = 100_000


@dataclass(frozen=True)
class TextQuery:
    """A text to search for, and what it is called."""

    query_id: str
    text: str


def queries_of(text: str, file: str | None, image: str | None) -> list[TextQuery]:
    """What is asked: texts between vertical bars, or those of a file; one empty text for an image alone.

    Raises:
        UsageError: there is no text and no image, a text is empty, or texts are given twice.
        SourceError: the file cannot be read, or has no text.
    """
    if file is not None:
        if text.strip():
            raise UsageError(f'search: {shortened(text)!r} and --queries {file} are both given. With the file give "".')
        return read_queries(file)
    texts = [whole_text(one).strip() for one in text.split("|")]
    if not all(texts) and not (image and not text.strip()):
        raise UsageError(f"search: {text!r} holds an empty text. Say what the image should show.")
    if long := too_long(*texts):
        raise UsageError(f"search: {long}. Shorten it.")
    return [TextQuery(str(number), one) for number, one in enumerate(texts, start=1)]


def read_queries(path: str) -> list[TextQuery]:
    """Queries of a file: .txt with one a line, or .csv, .tsv, .jsonl with a column text or query, and perhaps an id.

    Blank lines count, and are passed over. Without ids a query is called by its line.

    Raises:
        SourceError: it is missing, cannot be read, holds no query, a row without a text, or more than are read.
    """
    found: list[TextQuery] = []
    for number, query in _queries(Path(path)):
        if long := too_long(query.query_id, query.text):
            raise SourceError(f"{path}, line {number}: {long}. Shorten or remove it.")
        found.append(TextQuery(whole_text(query.query_id), whole_text(query.text)))
        if len(found) > _MOST:
            raise SourceError(f"{path}: holds more than {_MOST:,} queries, which are not read. Split it.")
    if not found:
        raise SourceError(f"{path}: holds 0 queries; 1 to {_MOST:,} are read.")
    return found


def _queries(path: Path) -> Iterator[tuple[int, TextQuery]]:
    """Line and query, whatever their length."""
    from interbert.data.row_files import cell_text, read_lines, read_rows

    if path.suffix.lower() == ".txt":
        for number, line in read_lines(path, "queries"):
            if line.strip():
                yield number, TextQuery(str(number), line.strip())
        return
    for number, row in read_rows(path, "queries"):
        if isinstance(row, str):
            raise SourceError(f"{path}, line {number}: {row}. Mend or remove it.")
        name = next((one for one in _COLUMNS if one in row), None)
        text = "" if name is None else " ".join(cell_text(row.get(name)).split())
        if not text:
            raise SourceError(f"{path}, line {number}: has no text in a column {', '.join(_COLUMNS)}. Add it.")
        yield number, TextQuery(next((one for key in _IDS if (one := cell_text(row.get(key)))), str(number)), text)
