"""Judgements as a file that :mod:`interbert.data.qrels` reads."""

from __future__ import annotations

import json
from pathlib import Path

from interbert.errors import UsageError
from interbert.service.state.records import Judgement, Judgements
from interbert.utils.files import JUDGEMENTS, require_replaceable, write_output
from interbert.utils.texts import too_long

_COLUMNS = ("query", "product_id", "grade", "searches")


def require_judgement_file(path: str | Path) -> None:
    """Check, before the database is asked, that judgements may be written at a path.

    Raises:
        UsageError: it is of another kind than .tsv and .jsonl, or something else is there.
    """
    if Path(path).suffix.lower() not in (".tsv", ".jsonl"):
        raise UsageError(f"{path}: judgements are written as .tsv or .jsonl. Name such a file.")
    require_replaceable(path, JUDGEMENTS)


def write_judgements(path: str | Path, judgements: Judgements) -> tuple[list[Judgement], dict[str, int]]:
    """Write them, in place of a file that was written so; no file when there are none.

    Returns:
        What was written, and what was left out: reason -> count.

    Raises:
        UsageError: as :func:`require_judgement_file`.
        StorageError: the disk is full or not writable; what was there stays.
    """
    rows = [one._replace(query=" ".join(one.query.split())) for one in judgements.rows]
    kept = [one for one in rows if _is_readable(one)]
    left_out = dict(judgements.left_out)
    if len(kept) < len(rows):
        left_out["pairs whose product id has a line break, a tab or spaces around it, or is too long"] = len(
            rows
        ) - len(kept)
    if kept:
        as_json = Path(path).suffix.lower() == ".jsonl"
        lines = [_json_line(one) if as_json else "\t".join(map(str, one)) for one in kept]
        head = [] if as_json else ["\t".join(_COLUMNS)]
        write_output(path, "".join(f"{line}\n" for line in [*head, *lines]), JUDGEMENTS)
    return kept, left_out


def _is_readable(one: Judgement) -> bool:
    """Whether a reader of lines and tabs gets this product's id back."""
    product = one.product_id
    return product == product.strip() != "" and not set("\t\r\n") & set(product) and too_long(*one[:2]) is None


def _json_line(one: Judgement) -> str:
    return json.dumps(dict(zip(_COLUMNS, one, strict=True)), ensure_ascii=False)
