"""VQA v2: questions and annotations of the organisers, their accuracy, and the results file of the leaderboard.

Questions are ``{"data_subtype": "val2014", "questions": [{"image_id": 42, "question": "...", "question_id": 42000}]}``,
annotations ``{"annotations": [{"question_id": 42000, "image_id": 42, "answers": [{"answer": "net", ...}, ...]}]}``,
results ``[{"question_id": 42000, "answer": "net"}]`` (Goyal et al. 2017; https://visualqa.org).
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from interbert.data.row_files import BadRows, Row, cell_text
from interbert.errors import DataError, SourceError, first_line
from interbert.tasks.scoring import Scorer
from interbert.utils.bounded_files import read_json
from interbert.utils.files import atomic_write
from interbert.utils.texts import whole_values
from interbert.vl_tasks.example import Example
from interbert.vl_tasks.official_files import (
    MOST_DIGITS,
    is_number,
    list_elements,
    read_answers_by_id,
    repeated,
    require_predicted,
    text_field,
    top_level,
)
from interbert.vl_tasks.scores import TaskScores, task_scores
from interbert.vl_tasks.vqa_answers import accuracy, label_scores

_SUBTYPE = "data_subtype"
_TYPED = ("question", "answer")
_FOLDERS = ("train2014", "val2014", "test2015")


def image_names(image_id: str, subtype: str = "") -> tuple[str, ...]:
    """What others call an image of COCO: 42 -> ``COCO_val2014_000000000042``, ``000000000042``; the likeliest first.

    Args:
        image_id: a whole number in at most 18 digits; of anything else there are no other names.
        subtype: of the file of questions, as ``val2014`` or ``test-dev2015``.
    """
    if not is_number(image_id):
        return ()
    first = subtype.replace("test-dev", "test")
    folders = sorted(_FOLDERS, key=lambda folder: folder != first)
    return (*(f"COCO_{folder}_{int(image_id):012d}" for folder in folders), f"{int(image_id):012d}")


def read_answers(path: Path) -> list[str]:
    """Answers that a model can give, in the order of its outputs: a JSON list of texts, as the 3,129 of VQA v2.

    Raises:
        SourceError: the file is missing or no JSON.
        DataError: it is no list of different texts.
    """
    try:
        found = whole_values(read_json(path))
    except (OSError, ValueError) as error:
        raise SourceError(f"{path}: cannot be read as a list of answers ({first_line(error)}).") from error
    if not isinstance(found, list) or not found or not all(isinstance(one, str) for one in found):
        raise DataError(f"{path}: is no JSON list of answers. Give one, such as trainval_label2ans.json.")
    if (twice := repeated(found)) is not None:
        raise DataError(f"{path}: has the answer {twice[:60]!r} twice. Remove one.")
    return found


def read_examples(
    questions: Path, annotations: Path | None = None, answers: Sequence[str] | None = None
) -> list[Example]:
    """Questions, in the file's order; without annotations those of a blind test.

    Args:
        questions: the file of questions.
        annotations: the file of annotations.
        answers: that a model can give. A question none of whose answers is among them stays, with nothing right.

    Returns:
        ``target``: accuracy of each listed answer; ``details``: ``answers`` of all people as they wrote them,
        ``question_type``, ``answer_type``, ``image_names`` (see :func:`image_names`; one tuple for each image).

    Raises:
        SourceError: a file is missing or cannot be read.
        DataError: rows are bad, or the files are of different splits.
    """
    subtype = _subtype(questions)
    told = {} if annotations is None else _answers_of(annotations)
    if annotations is not None and subtype and subtype != (other := _subtype(annotations)) and other:
        raise DataError(f"{annotations}: is of {other}, and {questions} of {subtype}. Give files of one split.")
    listed = None if answers is None else {answer: place for place, answer in enumerate(answers)}
    bad, found = BadRows(str(questions)), list[Example]()
    for number, name, row in list_elements(questions, "questions", "questions", "question_id"):
        example = _example(name, row, subtype)
        if annotations is not None and not isinstance(example, str):
            example = _with_answers(example, told.get(name), listed, annotations)
        bad.add(number, example) if isinstance(example, str) else found.append(example)
    bad.refuse()
    if annotations is not None and len(told) > len(found):
        raise DataError(
            f"{annotations}: has {len(told):,} questions and {questions} {len(found):,}: they are of different splits."
        )
    return found


def _subtype(path: Path) -> str:
    return str(top_level(path, "questions or annotations", (_SUBTYPE,)).get(_SUBTYPE, ""))[:40]


def _example(name: str, row: Row, subtype: str) -> Example | str:
    image, text = cell_text(row.get("image_id")), text_field(row, "question")
    if not image or text is None:
        return f"question {name[:60]} has no {'image_id' if not image else 'question'}"
    if not is_number(name):
        return f"question_id {name[:60]!r} is no whole number of at most {MOST_DIGITS} digits"
    names = image_names(image, subtype)
    return Example(name, (image,), (text,), details={"image_names": (names,)})


class _Told(NamedTuple):
    """What is kept of an annotation: of the whole row, train would take gigabytes."""

    image: str
    people: tuple[str, ...]
    question_type: str | None
    answer_type: str | None


def _with_answers(example: Example, told: _Told | None, listed: Mapping[str, int] | None, path: Path) -> Example | str:
    if told is None:
        return f"question {example.id} has no answers in {path}: labels are missing, or it is of another split"
    if told.image and told.image != example.images[0]:
        return f"question {example.id} is of image {example.images[0][:40]}, and in {path} of {told.image[:40]}"
    details = {
        **example.details,
        "answers": told.people,
        "question_type": told.question_type,
        "answer_type": told.answer_type,
    }
    target = label_scores(told.people, listed)
    return Example(example.id, example.images, example.texts, target=target, details=details)


def _answers_of(path: Path) -> dict[str, _Told]:
    bad, found = BadRows(str(path)), dict[str, _Told]()
    for number, name, row in list_elements(path, "annotations", "annotations", "question_id"):
        people = row.get("answers")
        if not isinstance(people, list) or not people or not all(map(_is_answer, people)):
            bad.add(number, f"question {name[:60]} has no list of answers")
            continue
        kinds = (sys.intern(kind) if isinstance(kind := row.get(f"{of}_type"), str) else None for of in _TYPED)
        people = tuple(sys.intern(one["answer"]) for one in people)
        found[name] = _Told(cell_text(row.get("image_id")), people, *kinds)
    bad.refuse()
    return found


def _is_answer(one: Any) -> bool:
    return isinstance(one, Mapping) and isinstance(one.get("answer"), str)


def read_predictions(path: Path) -> dict[str, str]:
    """Answers by question id.

    Raises:
        SourceError: the file is missing or cannot be read.
        DataError: rows are bad; the first is named.
    """
    return read_answers_by_id(path, "results", "question_id", "answer")


def write_predictions(path: Path, predictions: Mapping[str, str]) -> None:
    """Write the results file of the leaderboard: a list of ``question_id``, a whole number, and ``answer``.

    Raises:
        StorageError: the disk is full or not writable.
    """
    rows = [{"question_id": int(name), "answer": answer} for name, answer in predictions.items()]
    atomic_write(path, json.dumps(rows, ensure_ascii=False) + "\n")


def metrics(predictions: Mapping[str, str], examples: Sequence[Example]) -> TaskScores:
    """``accuracy``, and that of each answer type, over all questions, whether or not a model can give their answers.

    Args:
        predictions: of every example, by id.
        examples: with ``details["answers"]``.
    """
    return _scores(predictions, {one.id: (one.details["answers"], one.details["answer_type"]) for one in examples})


def _scores(predictions: Mapping[str, str], truth: Mapping[str, tuple[Iterable[str], Any]]) -> TaskScores:
    values: dict[str, list[float]] = {"accuracy": []}
    for name, (people, kind) in truth.items():
        value = accuracy(predictions[name], tuple(people))
        values["accuracy"].append(value)
        if isinstance(kind, str):
            values.setdefault(f"accuracy_{kind[:40]}", []).append(value)
    return task_scores(values, len(truth))


def score_files(predictions: Path, annotations: Path, questions: Path | None = None) -> TaskScores:
    """Scores of a results file by the file of annotations; of questions, when given, it is checked that they fit.

    Raises:
        SourceError: a file is missing or cannot be read.
        DataError: rows are bad, or questions lack a result or an annotation.
    """
    if questions is not None:
        read_examples(questions, annotations)
    told, predicted = _answers_of(annotations), read_predictions(predictions)
    require_predicted(predictions, predicted.keys(), told.keys(), "question", annotations)
    return _scores(predicted, {name: (one.people, one.answer_type) for name, one in told.items()})


SCORER = Scorer("VQA v2", "questions", score_files, ("annotations JSON", "questions JSON"))
