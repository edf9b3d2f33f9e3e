"""GQA: questions by id, the metrics of its evaluation, and the predictions file of the leaderboard.

Questions are ``{"201307251": {"question", "imageId", "answer", "isBalanced", "entailed", "groups", "types", ...}}``, in
one file or a folder of parts; choices ``{"201307251": {"valid": [...], "plausible": [...]}}``; predictions
``[{"questionId": "201307251", "prediction": "yes"}]`` (Hudson and Manning 2019, section 4.4, and its published
evaluation code).
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from interbert.data.row_files import BadRows, Row, cell_text
from interbert.errors import DataError, SourceError, listed
from interbert.tasks.scoring import Scorer
from interbert.utils.files import atomic_write
from interbert.vl_tasks.example import Example
from interbert.vl_tasks.gqa_metrics import Choices, metrics
from interbert.vl_tasks.left_out import LeftOut
from interbert.vl_tasks.official_files import (
    Labels,
    keyed_elements,
    read_answers_by_id,
    report,
    require_predicted,
    text_field,
)
from interbert.vl_tasks.scores import TaskScores


def read_examples(
    questions: Path | Sequence[Path],
    balanced: bool = False,
    labelled: bool | None = None,
    left_out: list[LeftOut] | None = None,
) -> list[Example]:
    """Questions, in the files' order.

    Args:
        questions: a file, a folder of parts (``train_all_questions``), or several of these.
        balanced: leave out questions that are not in the balanced split.
        labelled: True requires answers, False forbids them; None takes what the first question of a file has.
        left_out: gets the questions that are left out.

    Returns:
        ``target``: the answer; ``details``: ``balanced``, ``entailed`` ids, ``group``, ``structural``, ``semantic`` and
        ``detailed`` type.

    Raises:
        SourceError: a file is missing, empty or cannot be read.
        DataError: rows are bad; the first is named.
    """
    found, passed, seen = list[Example](), list[LeftOut](), set[str]()
    for file in (files := _files(questions)):
        bad, labels = BadRows(str(file)), Labels(file, "answer", labelled)
        for number, name, row in keyed_elements(file, "questions", seen):
            example = _example(name, row, labels)
            if isinstance(example, str):
                bad.add(number, example)
            elif balanced and not example.details["balanced"]:
                passed.append(LeftOut(str(file), number, name, "not in the balanced split"))
            else:
                found.append(example)
        bad.refuse()
    report(passed, left_out)
    if not found:
        raise SourceError(f"{files[0]}: holds no balanced question. Give the file of the balanced split, or all of it.")
    return found


def _files(questions: Path | Sequence[Path]) -> list[Path]:
    files: list[Path] = []
    for one in [questions] if isinstance(questions, Path) else questions:
        parts = sorted(one.glob("*.json")) if one.is_dir() else [one]
        if not parts:
            raise SourceError(f"{one}: holds no .json file of questions.")
        files += parts
    return files


def _example(name: str, row: Row, labels: Labels) -> Example | str:
    image, text, answer = cell_text(row.get("imageId")), text_field(row, "question"), row.get("answer")
    if not image or text is None:
        return f"question {name[:60]} has no {'imageId' if not image else 'question'}"
    if answer is not None and not isinstance(answer, str):
        return f"question {name[:60]}: its answer is no text"
    if problem := labels.problem(answer is not None):
        return f"question {name[:60]} {problem}"
    if not isinstance(row.get("isBalanced", True), bool):
        return f"question {name[:60]}: its isBalanced is neither true nor false"
    types, groups, entailed = row.get("types"), row.get("groups"), row.get("entailed")
    types, groups = (one if isinstance(one, Mapping) else {} for one in (types, groups))
    details = {
        "balanced": row.get("isBalanced") is not False,  # a test file of balanced questions may not say so
        "entailed": tuple(map(str, entailed)) if isinstance(entailed, list) else (),
        "group": groups["global"] if isinstance(groups.get("global"), str) else None,
        **{kind: types.get(kind) for kind in ("structural", "semantic", "detailed")},
    }
    return Example(name, (image,), (text,), target=None if answer is None else {answer: 1.0}, details=details)


def read_choices(path: Path) -> Choices:
    """Valid and plausible answers of each question.

    Raises:
        SourceError: the file is missing, empty or cannot be read.
        DataError: a question lacks one of the lists.
    """
    bad, found = BadRows(str(path)), dict[str, tuple[frozenset[str], frozenset[str]]]()
    for number, name, row in keyed_elements(path, "choices"):
        valid, plausible = row.get("valid"), row.get("plausible")
        if not isinstance(valid, list) or not isinstance(plausible, list):
            bad.add(number, f"question {name[:60]} has no lists of valid and plausible answers")
        else:
            found[name] = frozenset(map(str, valid)), frozenset(map(str, plausible))
    bad.refuse()
    return found


def read_predictions(path: Path) -> dict[str, str]:
    """Answers by question id.

    Raises:
        SourceError: the file is missing or cannot be read.
        DataError: rows are bad; the first is named.
    """
    return read_answers_by_id(path, "predictions", "questionId", "prediction")


def write_predictions(path: Path, predictions: Mapping[str, str]) -> None:
    """Write the predictions file of the leaderboard.

    Raises:
        StorageError: the disk is full or not writable.
    """
    rows = [{"questionId": name, "prediction": answer} for name, answer in predictions.items()]
    atomic_write(path, json.dumps(rows, ensure_ascii=False) + "\n")


def score_files(predictions: Path, questions: Path, choices: Path | None = None) -> TaskScores:
    """Scores of a predictions file by questions and, for validity and plausibility, choices.

    Raises:
        SourceError: a file is missing or cannot be read.
        DataError: rows are bad, or a balanced question lacks a prediction or choices.
    """
    examples, predicted = read_examples(questions, labelled=True), read_predictions(predictions)
    wanted = {one.id: None for one in examples if one.details["balanced"]}
    if not wanted:
        raise DataError(f"{questions}: has no balanced question, and these alone count. Give a file with them.")
    require_predicted(predictions, predicted.keys(), wanted, "balanced question", questions, surplus=True)
    known = {one.id for one in examples}
    told = None if choices is None else read_choices(choices)
    without = [] if told is None else [name for name in wanted if name not in told]
    if without:
        raise DataError(
            f"{choices}: has no choices for {len(without)} balanced questions of {questions}: {listed(without, 3)}. "
            "Give the choices of this split."
        )
    return metrics(predicted, examples, told, sum(name not in known for name in predicted))


__all__ = ["SCORER", "metrics", "read_choices", "read_examples", "read_predictions", "score_files", "write_predictions"]

SCORER = Scorer("GQA", "balanced questions", score_files, ("questions JSON or a folder of its parts", "choices JSON"))
