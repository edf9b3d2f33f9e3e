"""Files of KDD Cup 2020 Multimodalities Recall: names in lines of regions, answers, and names of class labels.

``valid_answer.json`` is ``{"query id": [product ids]}``; ``multimodal_labels.txt`` has
``category_id<TAB>category_name`` under a header.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from interbert.errors import SourceError, first_line
from interbert.regions.importers.detector_tsv import Line, LineFiles
from interbert.regions.importers.fields import small_text, text_of
from interbert.utils.bounded_files import json_value, read_small_text

KDD_COLUMNS = 9
_HEADER = b"product_id"
_MAX_LABELS = 100_000


def open_lines(source: str) -> LineFiles:
    """Lines of pairs or candidates.

    Args:
        source: file, or a pattern of several.

    Raises:
        SourceError: there is none, or it has other columns.
    """
    lines = LineFiles(source)
    columns = lines.usual_columns()
    if columns != KDD_COLUMNS:
        raise SourceError(f"{source}: its lines have {columns} fields, KDD Cup's have {KDD_COLUMNS}.")
    return lines


def is_header(first: bytes) -> bool:
    """Whether a line with this first cell names the columns."""
    return first.strip().lower() == _HEADER


def read_names(line: Line) -> tuple[str, str, str] | None:
    """Product id, query and query id of a line; None for the header.

    Raises:
        RegionError: one is missing, or the line has other columns.
    """
    cells = line.cells(KDD_COLUMNS)
    if is_header(cells[0]):
        return None
    product = text_of(cells[0], "the product's id", line.where)
    query = text_of(cells[7], "the query", line.where)
    return product, " ".join(query.split()), text_of(cells[8], "the query's id", line.where)


def read_answers(path: str | Path) -> dict[str, tuple[str, ...]]:
    """Right products of every query, in the file's order; none twice. Ids are compared as they are written.

    Raises:
        SourceError: the file is missing, or no JSON object of query ids with lists of product ids.
    """
    file = Path(path).expanduser()
    try:
        found = json_value(small_text(file))
        if not isinstance(found, dict) or not found:
            raise TypeError
    except SourceError:
        raise
    except FileNotFoundError as error:
        raise SourceError(f"{file}: there is no such file of answers.") from error
    except (OSError, ValueError, TypeError) as error:
        raise SourceError(f"{file}: is no JSON of query ids with lists of product ids.") from error
    return {query: _products(products, f"{file}, query {query[:40]!r}") for query, products in found.items()}


def _products(products: Any, where: str) -> tuple[str, ...]:
    if not isinstance(products, list):
        raise SourceError(f"{where}: has {_shown(products)}; a list of product ids is needed.")
    wrong = [one for one in products if isinstance(one, bool) or not isinstance(one, int | str)]
    if wrong:
        raise SourceError(f"{where}: of its products one is {_shown(wrong[0])}; an id is a whole number or a text.")
    return tuple(dict.fromkeys(str(one).strip() for one in products))


def _shown(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)[:40]


def read_labels(path: str | Path) -> dict[int, str]:
    """Name of every class label.

    Raises:
        SourceError: the file is missing, or a row is no number and name, or has the number of another.
    """
    file = Path(path).expanduser()
    try:
        lines = read_small_text(file).split("\n")
    except (OSError, ValueError) as error:
        raise SourceError(f"{file}: cannot be read as the names of class labels ({first_line(error)}).") from error
    found: dict[int, str] = {}
    for row, line in enumerate(lines, 1):
        number, _, name = line.strip().partition("\t")
        if not line.strip() or (row == 1 and not number.isdigit()):  # the header
            continue
        if not (number.isascii() and number.isdigit() and name.strip()) or not int(number) < _MAX_LABELS:
            raise SourceError(f"{file}, row {row}: is {line.strip()[:60]!r}; a number, a tab and a name are needed.")
        if int(number) in found:
            raise SourceError(f"{file}, row {row}: number {number} has a name before. Remove one.")
        found[int(number)] = name.strip()
    if not found:
        raise SourceError(f"{file}: names no class labels.")
    return found
