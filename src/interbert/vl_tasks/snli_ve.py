"""SNLI-VE: whether an image entails a sentence, is neutral to it or contradicts it.

Lines are ``{"pairID": "4705552913.jpg#2r1n", "Flickr30K_ID": "4705552913", "sentence1": ..., "sentence2": ...,
"gold_label": "neutral", ...}`` (Xie et al. 2019). ``sentence1`` is a caption of the image, from which the label can be
told without the image: it is never read. There is no leaderboard, and no official file of predictions; ours has lines
``{"pairID": ..., "label": "neutral"}``.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from interbert.data.row_files import BadRows, Row, cell_text
from interbert.errors import DataError
from interbert.tasks.scoring import Scorer
from interbert.utils.files import atomic_write
from interbert.vl_tasks.example import Example
from interbert.vl_tasks.left_out import LeftOut
from interbert.vl_tasks.official_files import Labels, object_lines, report, require_predicted, text_field
from interbert.vl_tasks.scores import TaskScores, task_scores

CLASSES = ("contradiction", "neutral", "entailment")
_UNDECIDED = "-"
_IMAGE_FIELDS = ("Flickr30K_ID", "Flikr30kID")
"""As the file of today and that of 2019 call it."""


def read_examples(path: Path, labelled: bool | None = None, left_out: list[LeftOut] | None = None) -> list[Example]:
    """Sentences with their images, in the file's order.

    Args:
        path: ``snli_ve_train.jsonl`` and so on.
        labelled: True requires labels, False forbids them; None takes what the first line has.
        left_out: gets the sentences on which the annotators did not agree (``"-"``), which are no examples.

    Returns:
        ``texts``: ``sentence2`` alone; ``target``: one of :data:`CLASSES`; ``details``: ``image_names``.

    Raises:
        SourceError: the file is missing, empty or cannot be read.
        DataError: lines are bad; the first is named.
    """
    bad, labels, found, passed = BadRows(str(path)), Labels(path, "gold_label", labelled), list[Example](), []
    for number, name, row in object_lines(path, "pairs", "pairID"):
        if row.get("gold_label") == _UNDECIDED:
            passed.append(LeftOut(str(path), number, name, "annotators did not agree on a label"))
            continue
        example = _example(name, row, labels)
        if isinstance(example, str):
            bad.add(number, f"{name[:60]} {example}")
        else:
            found.append(example)
    bad.refuse()
    report(passed, left_out)
    return found


def _example(name: str, row: Row, labels: Labels) -> Example | str:
    image = next((one for field in _IMAGE_FIELDS if (one := cell_text(row.get(field)))), "").removesuffix(".jpg")
    text, label = text_field(row, "sentence2"), row.get("gold_label")
    if not image or text is None:
        return f"has no {'sentence2' if image else _IMAGE_FIELDS[0]}"
    if label is not None and label not in CLASSES:
        return f"has the gold_label {str(label)[:30]!r}; labels are {', '.join(CLASSES)}, and - for none"
    if problem := labels.problem(label is not None):
        return problem
    target = None if label is None else {label: 1.0}
    return Example(name, (image,), (text,), target=target, details={"image_names": ((f"{image}.jpg",),)})


def read_predictions(path: Path) -> dict[str, str]:
    """Class by pairID.

    Raises:
        SourceError: the file is missing, empty or cannot be read.
        DataError: lines are bad; the first is named.
    """
    bad, found = BadRows(str(path)), dict[str, str]()
    for number, name, row in object_lines(path, "predictions", "pairID"):
        label = row.get("label")
        if label not in CLASSES:
            bad.add(number, f"{name[:60]}: its label is {str(label)[:30]!r}, and has to be {', '.join(CLASSES)}")
        else:
            found[name] = str(label)
    bad.refuse()
    return found


def write_predictions(path: Path, predictions: Mapping[str, str]) -> None:
    """Write lines of ``pairID`` and ``label``.

    Raises:
        StorageError: the disk is full or not writable.
    """
    rows = ({"pairID": name, "label": label} for name, label in predictions.items())
    atomic_write(path, "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))


def metrics(predictions: Mapping[str, str], examples: Sequence[Example], left_out: int = 0) -> TaskScores:
    """``accuracy``, and that of the examples of each class.

    Args:
        predictions: of every example, by id.
        examples: with their labels.
        left_out: sentences without a label, for the count.
    """
    values: dict[str, list[float]] = {"accuracy": [], **{f"accuracy_{name}": [] for name in CLASSES}}
    for one in examples:
        assert isinstance(one.target, Mapping)
        (label,) = one.target
        right = float(predictions[one.id] == label)
        values["accuracy"].append(right)
        values[f"accuracy_{label}"].append(right)
    return task_scores(values, len(examples), counts={"left_out": left_out})


def score_files(predictions: Path, truth: Path) -> TaskScores:
    """Scores of predictions by the organisers' lines; predictions of pairs without a label are passed over.

    Raises:
        SourceError: a file is missing, empty or cannot be read.
        DataError: lines are bad, no pair has a label, a pair has no prediction or a prediction no pair.
    """
    passed = list[LeftOut]()
    examples, predicted = read_examples(truth, True, passed), read_predictions(predictions)
    if not examples:
        raise DataError(f"{truth}: all of its {len(passed)} pairs are without a label. Give a file with labels.")
    without_label = {one.id for one in passed}
    counted = {name: label for name, label in predicted.items() if name not in without_label}
    require_predicted(predictions, counted.keys(), {one.id: None for one in examples}, "pair", truth)
    return metrics(counted, examples, len(passed))


SCORER = Scorer("SNLI-VE", "pairs", score_files, ("JSON lines of pairs",))
