"""NLVR2 and NLVR: JSON lines of the organisers, accuracy and consistency, and the csv of predictions.

NLVR2 asks whether a sentence holds of two photographs: ``{"identifier": "dev-850-0-1", "sentence", "label": "True",
...}``, an identifier being split, set of images, pair, sentence; its images are ``dev-850-0-img0`` and ``-img1``. Some
of these .png files are JPEG. NLVR asks the same of one drawing of three boxes, in their six orders: ``{"identifier":
"1572-0", "directory": "2", "label": "true", ...}`` with the images ``dev-1572-0-0`` to ``-5``, of which each is an
example and is predicted. Predictions are lines ``identifier,True``; those of NLVR name the .png file (Suhr et al. 2017,
Suhr et al. 2019, and their published evaluation code).
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

from interbert.data.row_files import BadRows, Row, cell_text, read_lines
from interbert.errors import DataError, SourceError, listed
from interbert.tasks.scoring import Scorer
from interbert.utils.files import atomic_write
from interbert.vl_tasks.example import Example
from interbert.vl_tasks.official_files import Labels, object_lines, require_predicted, text_field
from interbert.vl_tasks.scores import TaskScores, task_scores

ORDERS = 6
"""Images of an example of NLVR, which differ in the order of the boxes."""
_PAIR = re.compile(r"([a-z]+\d?)-(\d+)-(\d+)-(\d+)")
_DRAWING = re.compile(r"(\d+)-(\d+)")
_SPLIT = re.compile(r"(train|dev|test\d?)(?![a-z])")
_LABELS = {"true": "True", "false": "False"}


def read_examples(path: Path, split: str | None = None, labelled: bool | None = None) -> list[Example]:
    """Sentences with their images, in the file's order.

    Args:
        path: ``train.json``, ``dev.json``, ``test1.json``.
        split: which the file is of, as images are named by it; from the file's name when None. NLVR2's identifiers say
            it, too, and have to agree with a split that is given.
        labelled: True requires labels, False forbids them; None takes what the first line has.

    Returns:
        ``target``: of ``"True"`` or ``"False"``; ``details``: ``group``, examples of which count as consistent when all
        are right; ``directory`` of the images, "" where the file has none.

    Raises:
        SourceError: the file is missing, empty or cannot be read.
        DataError: lines are bad, or of several splits.
    """
    named = _SPLIT.match(path.name)
    of_name = named.group(1) if named else None
    bad, labels, found = BadRows(str(path)), Labels(path, "label", labelled), list[Example]()
    expected = split
    for number, name, row in object_lines(path, "examples", "identifier"):
        examples = _examples(name, row, split or of_name, labels)
        if isinstance(examples, str):
            bad.add(number, f"{name[:60]} {examples}")
            continue
        expected = expected or examples[0].id.split("-")[0]
        if not examples[0].id.startswith(f"{expected}-"):
            bad.add(number, f"{name[:60]} is of another split than {expected}")
        found += examples
    bad.refuse()
    return found


def _examples(name: str, row: Row, split: str | None, labels: Labels) -> list[Example] | str:
    """The example of a line of NLVR2, or the six of a line of NLVR."""
    text, label = text_field(row, "sentence"), row.get("label")
    if text is None:
        return "has no sentence"
    if label is not None and (not isinstance(label, str) or label.lower() not in _LABELS):
        return f"has the label {str(label)[:20]!r} of the type {type(label).__name__}; labels are texts, True or False"
    if problem := labels.problem(label is not None):
        return problem
    target = None if label is None else {_LABELS[label.lower()]: 1.0}
    directory = cell_text(row.get("directory"))
    if pair := _PAIR.fullmatch(name):
        of_split, group, place, sentence = pair.groups()
        images = tuple(f"{of_split}-{group}-{place}-img{side}" for side in (0, 1))
        details = {"group": f"{of_split}-{group}-{sentence}", "directory": directory}
        return [Example(name, images, (text,), target=target, details=details)]
    drawing = _DRAWING.fullmatch(name)
    if drawing is None:
        return "is no identifier: NLVR2 has dev-850-0-1, NLVR 1572-0"
    if split is None:
        return "does not say its split, nor does the file's name: name the file train.json, dev.json or test.json"
    details = {"group": drawing.group(1), "directory": directory}
    names = [f"{split}-{name}-{order}" for order in range(ORDERS)]
    return [Example(one, (one,), (text,), target=target, details=details) for one in names]


def split_by_directory(
    examples: Sequence[Example], directories: Collection[str]
) -> tuple[list[Example], list[Example]]:
    """Examples to train on, and those of some directories to validate on: images of a set lie in one directory.

    Raises:
        DataError: an example has no directory, or a directory that is named no example.
    """
    without = next((one.id for one in examples if not one.details["directory"]), None)
    if without is not None:
        raise DataError(f"{without}: has no directory to split by. Give a file of train, which has them.")
    unknown = sorted(set(directories) - {one.details["directory"] for one in examples})
    if unknown:
        raise DataError(f"no example is of the directories {listed(unknown, 5)}. Name those of the file.")
    validation = [one for one in examples if one.details["directory"] in directories]
    return [one for one in examples if one.details["directory"] not in directories], validation


def read_predictions(path: Path) -> dict[str, str]:
    """``"True"`` or ``"False"`` by identifier, or by the name of NLVR's image without its ending.

    Raises:
        SourceError: the file is missing, empty or cannot be read.
        DataError: a line has no identifier and label, or an identifier stands twice.
    """
    bad, found = BadRows(str(path)), dict[str, str]()
    for number, line in read_lines(path, "predictions"):
        if not line.strip():
            continue
        cells = [cell.strip() for cell in line.split(",", 2)]
        name = cells[0].removesuffix(".png")
        if len(cells) != 2 or not name or cells[1].lower() not in _LABELS:
            bad.add(number, "is no line identifier,True or identifier,False")
        elif name in found:
            bad.add(number, f"{name[:60]} stands in a line before")
        else:
            found[name] = _LABELS[cells[1].lower()]
    bad.refuse()
    if not found:
        raise SourceError(f"{path}: holds no predictions.")
    return found


def write_predictions(path: Path, predictions: Mapping[str, str], drawings: bool = False) -> None:
    """Write the csv that the organisers read: ``dev-850-0-1,True``, and of NLVR ``dev-1572-0-3.png,true``.

    Args:
        path: of the file.
        predictions: ``"True"`` or ``"False"`` by the id of the example.
        drawings: they are of NLVR.

    Raises:
        StorageError: the disk is full or not writable.
    """
    assert set(predictions.values()) <= set(_LABELS.values())
    rows = predictions.items()
    lines = [f"{name}.png,{label.lower()}\n" if drawings else f"{name},{label}\n" for name, label in rows]
    atomic_write(path, "".join(lines))


def metrics(predictions: Mapping[str, str], examples: Sequence[Example]) -> TaskScores:
    """``accuracy`` over examples; ``consistency``: the share of sentences whose examples are all right.

    A sentence of NLVR2 is of up to four pairs, so its group is the identifier without the pair. In NLVR it is the
    identifier's first number, and the six orders of each drawing belong to it.

    Args:
        predictions: of every example, by id.
        examples: with their labels.
    """
    right, groups = list[float](), defaultdict[str, list[float]](list)
    for one in examples:
        assert isinstance(one.target, Mapping)
        right.append(float(predictions[one.id] in one.target))
        groups[one.details["group"]].append(right[-1])
    values = {"accuracy": right, "consistency": [min(group) for group in groups.values()]}
    return task_scores(values, len(right), counts={"n_consistency": len(groups)})


def score_files(predictions: Path, truth: Path) -> TaskScores:
    """Scores of a csv of predictions by the organisers' JSON lines, of NLVR2 or of NLVR.

    Raises:
        SourceError: a file is missing, empty or cannot be read.
        DataError: lines are bad, or an example has no prediction or a prediction no example.
    """
    predicted = read_predictions(predictions)
    split = None if _SPLIT.match(truth.name) else next(iter(predicted)).split("-")[0]
    examples = read_examples(truth, split if _is_of_drawings(truth) else None, labelled=True)
    require_predicted(predictions, predicted.keys(), {one.id: None for one in examples}, "example", truth)
    return metrics(predicted, examples)


def _is_of_drawings(truth: Path) -> bool:
    return next((bool(_DRAWING.fullmatch(name)) for _, name, _ in object_lines(truth, "examples", "identifier")), False)


SCORER = Scorer("NLVR2 and NLVR", "examples", score_files, ("JSON lines of examples",))
