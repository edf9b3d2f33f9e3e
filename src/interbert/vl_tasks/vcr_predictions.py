"""Predictions of VCR: the leaderboard's csv, and Q->A, QA->R and Q->AR joined by annot_id (Zellers et al. 2019)."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Mapping, Sequence
from pathlib import Path

from interbert.data.row_files import BadRows, cell_text, read_rows
from interbert.errors import DataError, SourceError, listed
from interbert.utils.files import atomic_write
from interbert.vl_tasks.scores import TaskScores, task_scores

CHOICES = 4
GROUPS = ("answer", *(f"rationale_conditioned_on_a{answer}" for answer in range(CHOICES)))
COLUMNS = tuple(f"{group}_{choice}" for group in GROUPS for choice in range(CHOICES))
"""The 20 columns after annot_id."""

Numbers = tuple[float, ...]


def joined(
    answers: Mapping[str, Sequence[float]], rationales: Mapping[tuple[str, int], Sequence[float]]
) -> dict[str, Numbers]:
    """The 20 numbers of each annot_id.

    Args:
        answers: annot_id -> scores of the four answers.
        rationales: annot_id, answer -> scores of the four rationales given that answer: four passes.

    Raises:
        DataError: a pass lacks an annot_id, or has one more.
    """
    wanted = {(name, answer) for name in answers for answer in range(CHOICES)}
    odd = sorted(wanted.symmetric_difference(rationales))
    if odd:
        shown = listed([f"{name} given answer {answer}" for name, answer in odd], 3)
        raise DataError(
            f"VCR: {len(odd)} scores of rationales are missing, or are of no question: {shown}. The leaderboard needs "
            "QA->R given each of the four answers."
        )
    return {
        name: (*four, *(one for answer in range(CHOICES) for one in rationales[name, answer]))
        for name, four in answers.items()
    }


def write_predictions(path: Path, predictions: Mapping[str, Sequence[float]]) -> None:
    """Write the csv of the leaderboard: annot_id and its 20 columns.

    Raises:
        StorageError: the disk is full or not writable.
    """
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(("annot_id", *COLUMNS))
    for name, numbers in predictions.items():
        assert len(numbers) == len(COLUMNS), (name, len(numbers))
        writer.writerow((name, *(repr(float(one)) for one in numbers)))
    atomic_write(path, out.getvalue())


def read_predictions(path: Path) -> dict[str, Numbers]:
    """The 20 numbers of each annot_id, by the names of the columns, in whatever order these stand.

    Raises:
        SourceError: the file is missing, empty or cannot be read.
        DataError: a column is missing or one too many, or a row is bad.
    """
    bad, found = BadRows(str(path)), dict[str, Numbers]()
    for number, row in read_rows(path, "predictions of VCR"):
        if isinstance(row, str):
            bad.add(number, row)
            continue
        odd = sorted({"annot_id", *COLUMNS}.symmetric_difference(row))
        if odd:
            raise DataError(f"{path}: has to have annot_id and 20 columns; missing or surplus: {listed(odd, 5)}.")
        name, numbers = cell_text(row["annot_id"]), [_number(row[column]) for column in COLUMNS]
        if not name or name in found:
            bad.add(number, f"annot_id {name[:40]} stands in a row before" if name else "has no annot_id")
        elif None in numbers:
            bad.add(number, f"annot_id {name[:40]}: {COLUMNS[numbers.index(None)]} is no number")
        found[name] = tuple(one for one in numbers if one is not None)
    bad.refuse()
    if not found:
        raise SourceError(f"{path}: holds no predictions.")
    return found


def _number(value: str) -> float | None:
    try:
        number = float(value)
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def conditioned(numbers: Sequence[float], answer: int) -> Sequence[float]:
    """Of the 20 numbers, those of the rationales given an answer."""
    first = CHOICES * (1 + answer)
    return numbers[first : first + CHOICES]


def is_right(scores: Sequence[float], right: int) -> bool:
    """Whether the right choice scores above every other: ties count against us."""
    return all(scores[right] > score for place, score in enumerate(scores) if place != right)


def metrics(
    answers: Mapping[str, Sequence[float]],
    rationales: Mapping[str, Sequence[float]],
    labels: Mapping[str, tuple[int, int]],
) -> TaskScores:
    """``q_a``, ``qa_r`` and ``q_ar``, for which both have to be right.

    Args:
        answers: annot_id -> scores of the four answers.
        rationales: annot_id -> scores of the four rationales given the right answer.
        labels: annot_id -> right answer, right rationale; all of these count.
    """
    q_a = {name: is_right(answers[name], answer) for name, (answer, _) in labels.items()}
    qa_r = {name: is_right(rationales[name], rationale) for name, (_, rationale) in labels.items()}
    both = [q_a[name] and qa_r[name] for name in labels]
    return task_scores({"q_a": q_a.values(), "qa_r": qa_r.values(), "q_ar": both}, len(labels))
