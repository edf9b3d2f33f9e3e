"""Files of predictions for anybody's table: a row's id, answer, its probability, and the most probable answers."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from interbert.errors import writing
from interbert.utils.files import atomic_write, replacing
from interbert.vl_tasks.example import Example
from interbert.vl_tasks.heads import Head
from interbert.vl_tasks.task import Prediction

_COLUMNS = ("id", "answer", "probability", "answers")


def write_table(
    path: Path, examples: Sequence[Example], predictions: Sequence[Prediction], head: Head, top: int
) -> None:
    """Write a .jsonl, .csv or .parquet file.

    Its columns are ``id``, ``answer``, ``probability`` and ``answers``, a list of ``{"answer", "probability"}``, the
    most probable first. In csv and parquet lists are JSON text, boxes too. Of choices an answer is their number.

    Args:
        path: its ending says the form.
        examples: whose ids to write.
        predictions: of each.
        head: that made them.
        top: answers of a row, at most.

    Raises:
        StorageError: the file cannot be written.
    """
    rows = [_row(one, said, head, top) for one, said in zip(examples, predictions, strict=True)]
    if path.suffix == ".jsonl":
        atomic_write(path, "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))
        return
    flat = [{name: _flat(value) for name, value in row.items()} for row in rows]
    if path.suffix == ".parquet":
        import pyarrow as pa
        import pyarrow.parquet as pq

        with writing(path), replacing(path) as part:
            pq.write_table(pa.Table.from_pylist(flat), part)
        return
    out = io.StringIO()
    table = csv.DictWriter(out, _COLUMNS, lineterminator="\n")
    table.writeheader()
    table.writerows(flat)
    atomic_write(path, out.getvalue())


def answers_of(said: Prediction, head: Head, top: int) -> list[dict[str, Any]]:
    """The most probable answers, each a dictionary of ``answer`` and ``probability``.

    Args:
        said: of one example.
        head: that made it.
        top: answers, at most.
    """
    order = (-said.probabilities).argsort(kind="stable")[:top].tolist()
    return [
        {"answer": _answer(place, said, head), "probability": round(float(said.probabilities[place]), 6)}
        for place in order
    ]


def _row(example: Example, said: Prediction, head: Head, top: int) -> dict[str, Any]:
    answers = answers_of(said, head, top)
    return {"id": example.id, **answers[0], "answers": answers}


def _answer(place: int, said: Prediction, head: Head) -> Any:
    if head.of_regions:
        return [round(float(value), 2) for value in said.boxes[place]]
    return head.labels[place] if head.labels else place


def _flat(value: Any) -> Any:
    return (
        json.dumps(value, ensure_ascii=False)
        if isinstance(value, list)
        else value
        if isinstance(value, float)
        else str(value)
    )
