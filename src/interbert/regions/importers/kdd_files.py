"""What lies beside the regions of KDD Cup 2020 Multimodalities Recall: answers and names of class labels.

``valid_answer.json`` is ``{"query id": [product ids]}``; ``multimodal_labels.txt`` has
``category_id<TAB>category_name`` under a header.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from interbert.errors import SourceError, first_line
from interbert.regions.importers.fields import small_text
from interbert.utils.bounded_files import json_value, read_small_text

_MAX_LABELS = 100_000


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
        return {query: tuple(dict.fromkeys(map(_id, _list(products)))) for query, products in found.items()}
    except SourceError:
        raise
    except FileNotFoundError as error:
        raise SourceError(f"{file}: there is no such file of answers.") from error
    except (OSError, ValueError, TypeError) as error:
        raise SourceError(f"{file}: is no JSON of query ids with lists of product ids.") from error


def _list(products: Any) -> list[Any]:
    if not isinstance(products, list):
        raise TypeError
    return products


def _id(product: Any) -> str:
    if isinstance(product, bool) or not isinstance(product, int | str):
        raise TypeError
    return str(product).strip()


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
