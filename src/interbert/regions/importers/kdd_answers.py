"""The answers of KDD Cup 2020 Multimodalities Recall: ``valid_answer.json``, ``{"query id": [product ids]}``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from interbert.errors import SourceError
from interbert.regions.importers.fields import small_text
from interbert.utils.bounded_files import json_value


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
