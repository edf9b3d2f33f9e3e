"""VCR: a question about people of an image with four answers, then the answer's reason out of four rationales.

``{train,val,test}.jsonl`` has lines with ``annot_id``, ``img_fn``, ``metadata_fn``, ``objects``, ``question``,
``answer_choices``, ``rationale_choices``, and, but in the test, ``answer_label`` and ``rationale_label``; words are
tokens, and a tag is a list of indices of objects. Beside an image lies its metadata, JSON with ``boxes`` of x1, y1, x2,
y2 and a score (Zellers et al. 2019). ``img_id`` counts anew in every split, so images are named by ``img_fn``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from interbert.data.row_files import BadRows, Row
from interbert.errors import UsageError, first_line
from interbert.tasks.scoring import Scorer
from interbert.utils.bounded_files import read_json
from interbert.utils.texts import MAX_TEXT
from interbert.vl_tasks.boxes import from_corners
from interbert.vl_tasks.example import Box, Example
from interbert.vl_tasks.official_files import Labels, inner_path, object_lines, require_predicted
from interbert.vl_tasks.scores import TaskScores
from interbert.vl_tasks.vcr_names import length_of, names_of, problem_of, sentence
from interbert.vl_tasks.vcr_predictions import (
    CHOICES,
    conditioned,
    joined,
    metrics,
    read_predictions,
    write_predictions,
)

PARTS = ("q_a", "qa_r", "qa_r_blind")
"""Answers to the question; rationales given the right answer; rationales given each of the four answers."""
_LABELS = ("answer_label", "rationale_label")


@dataclass(frozen=True)
class _Item:
    annot_id: str
    image: str
    question: str
    answers: tuple[str, ...]
    rationales: tuple[str, ...]
    labels: tuple[int, int] | None
    boxes: tuple[Box, ...]
    details: Mapping[str, Any]


def read_examples(
    path: Path, part: str = "q_a", metadata: Path | None = None, seed: int = 0, labelled: bool | None = None
) -> list[Example]:
    """Items with four choices each, in the file's order.

    Args:
        path: ``train.jsonl``, ``val.jsonl`` or ``test.jsonl``.
        part: one of :data:`PARTS`. The last gives four examples an item, ``ANNOT_ID/a0`` to ``/a3``, without a target,
            as the leaderboard asks for.
        metadata: folder of the images (``vcr1images``), from which boxes are read; None gives none.
        seed: of people's names: one person has one name in all parts, answers and rationales of an item.
        labelled: True requires both labels, False forbids them; None takes what the first line has.

    Returns:
        ``texts``: the question, and for rationales the answer after it, once for each choice; ``second_texts``: the
        choices; ``target``: number of the right one; ``boxes``: of the objects, without their scores; ``details``:
        ``annot_id``, ``answer`` that rationales are given (None for q_a), ``objects``, ``box_scores``, ``movie``.

    Raises:
        UsageError: there is no such part, or qa_r is asked of a file without labels.
        SourceError: the file is missing, empty or cannot be read.
        DataError: lines or metadata are bad, or the file mixes splits.
    """
    if part not in PARTS:
        raise UsageError(f"vcr: there is no part {part[:40]!r}: {', '.join(PARTS)}.")
    items = _read_items(path, metadata, seed, labelled)
    if part == "qa_r" and items[0].labels is None:
        raise UsageError(
            f"{path}: has no answer_label, so there is no right answer to give. Use qa_r_blind, as for a test."
        )
    if part == "q_a":
        return [_with_answers(item) for item in items]
    if part == "qa_r":
        return [_with_rationales(item, item.labels[0], item.labels[1]) for item in items if item.labels is not None]
    return [_with_rationales(item, answer, None) for item in items for answer in range(CHOICES)]


def _with_answers(item: _Item) -> Example:
    target = None if item.labels is None else item.labels[0]
    details = {**item.details, "annot_id": item.annot_id, "answer": None}
    return Example(item.annot_id, (item.image,), (item.question,) * CHOICES, item.answers, item.boxes, target, details)


def _with_rationales(item: _Item, answer: int, right: int | None) -> Example:
    name = item.annot_id if right is not None else f"{item.annot_id}/a{answer}"
    first = (f"{item.question} {item.answers[answer]}",) * CHOICES
    details = {**item.details, "annot_id": item.annot_id, "answer": answer}
    return Example(name, (item.image,), first, item.rationales, item.boxes, right, details)


def read_labels(path: Path) -> dict[str, tuple[int, int]]:
    """Right answer and rationale by annot_id.

    Raises:
        SourceError: the file is missing, empty or cannot be read.
        DataError: a line is bad or has no labels.
    """
    return {item.annot_id: item.labels for item in _read_items(path, None, 0, True) if item.labels is not None}


def _read_items(path: Path, metadata: Path | None, seed: int, labelled: bool | None) -> list[_Item]:
    bad, labels, found = BadRows(str(path)), Labels(path, "answer_label", labelled), list[_Item]()
    boxes_of = lru_cache(maxsize=64)(_read_boxes)  # the questions of an image follow each other
    split = None
    for number, name, row in object_lines(path, "items", "annot_id"):
        split = split or name.partition("-")[0]
        item = _item(name, row, labels, metadata, seed, boxes_of)
        if isinstance(item, str):
            bad.add(number, f"annot_id {name[:40]} {item}")
        elif name.partition("-")[0] != split:
            bad.add(number, f"annot_id {name[:40]} is of another split than {split[:40]}")
        else:
            found.append(item)
    bad.refuse()
    return found


Boxes = tuple[tuple[Box, ...], tuple[float, ...]]


def _item(
    name: str,
    row: Row,
    watched: Labels,
    metadata: Path | None,
    seed: int,
    boxes_of: Callable[[Path], Boxes | str],
) -> _Item | str:
    """An item, or what is wrong with it."""
    image, objects = inner_path(row.get("img_fn")), row.get("objects")
    if image is None:
        return "has no img_fn that names a file below the folder of images"
    if not isinstance(objects, list) or not all(isinstance(one, str) for one in objects):
        return "has no list of objects"
    texts = [row.get("question"), *_four(row, "answer_choices"), *_four(row, "rationale_choices")]
    if len(texts) != 1 + 2 * CHOICES:
        return "has not four answer_choices and four rationale_choices"
    for what, tokens in zip(("question", *("choice",) * 2 * CHOICES), texts, strict=True):
        if problem := problem_of(tokens, len(objects)):
            return f"has a {what} that {problem}"
    labels = _labels(row)
    if isinstance(labels, str) or (problem := watched.problem(labels is not None)):
        return labels if isinstance(labels, str) else str(problem)
    boxes: tuple[Box, ...] = ()
    scores: tuple[float, ...] = ()
    if metadata is not None:
        inner = inner_path(row.get("metadata_fn"))
        read = "has no metadata_fn below the folder of images" if inner is None else boxes_of(metadata / inner)
        if isinstance(read, str):
            return read
        boxes, scores = read
        if len(boxes) != len(objects):
            return f"has {len(objects)} objects, and {row['metadata_fn'][:60]} {len(boxes)} boxes"
    names = names_of(texts, objects, name, seed)
    longest = max(length_of(tokens, names) for tokens in texts)
    if longest > MAX_TEXT:
        return f"has a text of {longest:,} characters, of which {MAX_TEXT:,} at most are read"
    question, *choices = (sentence(tokens, names) for tokens in texts)
    details = {"objects": tuple(objects), "box_scores": scores, "movie": row.get("movie")}
    return _Item(name, str(image), question, tuple(choices[:CHOICES]), tuple(choices[CHOICES:]), labels, boxes, details)


def _four(row: Row, name: str) -> list[Any]:
    found = row.get(name)
    return found if isinstance(found, list) and len(found) == CHOICES else []


def _labels(row: Row) -> tuple[int, int] | str | None:
    there = [row.get(name) for name in _LABELS]
    if all(one is None for one in there):
        return None
    wrong = [name for name, one in zip(_LABELS, there, strict=True) if type(one) is not int or not 0 <= one < CHOICES]
    if wrong:
        return f"has no {wrong[0]} from 0 to {CHOICES - 1}"
    return (row[_LABELS[0]], row[_LABELS[1]])


def _score(value: Any) -> float:
    """Score of a box; 1 where there is none."""
    return float(value) if isinstance(value, int | float) and abs(value) <= 1e9 else 1.0


def _read_boxes(path: Path) -> Boxes | str:
    """Boxes of an image's objects and their scores, or what is wrong with its metadata."""
    try:
        content = read_json(path)
    except (OSError, ValueError) as error:
        return f"has metadata that cannot be read ({path}: {first_line(error)})"
    rows: Any = content.get("boxes") if isinstance(content, dict) else None
    if not isinstance(rows, list) or not all(isinstance(one, list) and len(one) in (4, 5) for one in rows):
        return f"has metadata without boxes x1, y1, x2, y2 and score ({path})"
    boxes = [from_corners(one[:4]) for one in rows]
    whole = tuple(box for box in boxes if box is not None)
    scores = tuple(_score(one[4]) if len(one) == 5 else 1.0 for one in rows)
    return (whole, scores) if len(whole) == len(boxes) else f"has metadata with a box that is none ({path})"


def score_files(predictions: Path, truth: Path) -> TaskScores:
    """Scores of the leaderboard's csv by the organisers' lines with labels: QA->R is read given the right answer.

    Raises:
        SourceError: a file is missing, empty or cannot be read.
        DataError: rows are bad, or an item has no prediction or a prediction no item.
    """
    labels, predicted = read_labels(truth), read_predictions(predictions)
    require_predicted(predictions, predicted.keys(), labels, "annot_id", truth)
    rationales = {name: conditioned(predicted[name], answer) for name, (answer, _) in labels.items()}
    return metrics({name: predicted[name][:CHOICES] for name in labels}, rationales, labels)


__all__ = [
    "PARTS",
    "SCORER",
    "joined",
    "metrics",
    "read_examples",
    "read_labels",
    "read_predictions",
    "score_files",
    "write_predictions",
]

SCORER = Scorer("VCR", "questions", score_files, ("val.jsonl",))
