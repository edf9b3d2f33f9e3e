"""Flickr30K Entities: where in an image the phrases of its sentences are.

A folder has ``Sentences/ID.txt`` with five lines such as ``[/EN#1/people Two young guys] look at [/EN#0/notvisual the
other] .``, ``Annotations/ID.xml`` with the boxes of each id, and lists of images, ``train.txt``, ``val.txt``,
``test.txt``. Ids run through the five sentences; id 0 is nothing that can be seen. A phrase may have several boxes.

Protocol: a prediction is right at IoU of at least 0.5. The smallest box around all boxes of the phrase is the right
one, as the data set's authors have it (Plummer et al. 2015, section 4; MERGED-BOXES of Kamath et al. 2021), and beside
it stands the share that fits *any* of the boxes (ANY-BOX of the latter). Phrases without a box are left out, as there.
Boxes are read as the authors' tools read them, one less than in the XML, whose first pixel is 1; areas are
(x2 - x1) * (y2 - y1).

There is no leaderboard; predictions are lines ``{"id": "36979#0#2", "boxes": [[x1, y1, x2, y2], ...]}``, best first. An
id is image, sentence and phrase, both counted from 0, and all phrases of the sentence are counted.
"""

from __future__ import annotations

import json
import re
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from pathlib import Path
from xml.etree import ElementTree

from interbert.data.row_files import BadRows, read_lines
from interbert.errors import DataError, SourceError, first_line
from interbert.tasks.scoring import Scorer
from interbert.utils.bounded_files import read_small_text
from interbert.utils.files import atomic_write
from interbert.utils.texts import too_long
from interbert.vl_tasks.boxes import enclosing, from_corners, iou_matrix
from interbert.vl_tasks.example import Box, Example
from interbert.vl_tasks.left_out import LeftOut
from interbert.vl_tasks.official_files import object_lines, report, require_predicted
from interbert.vl_tasks.scores import TaskScores, task_scores

LEAST_IOU = 0.5
"""A box is right from this on."""
RECALL_AT = (1, 5, 10)
_NOT_VISUAL = "0"
_PHRASE = re.compile(r"\[/EN#(\d+)((?:/[a-z]+)+) ([^\[\]]+)\]")
_CORNERS = ("xmin", "ymin", "xmax", "ymax")
_MOST_BYTES = 1 << 20
_MOST_BOXES = 1000


def read_examples(folder: Path, split: str, left_out: list[LeftOut] | None = None) -> list[Example]:
    """Phrases that can be seen, in the order of the list of images.

    Args:
        folder: of the official files.
        split: which list to read: ``train``, ``val``, ``test``.
        left_out: gets the phrases that are no examples, by reason: nothing visual, or without a box.

    Returns:
        ``id``: ``IMAGE#SENTENCE#PHRASE``, counted from 0; ``texts``: the phrase; ``target``: its boxes; ``details``:
        ``sentence``, ``first_word`` of the phrase in it, ``entity``, ``types``, ``image_names``.

    Raises:
        SourceError: a file is missing or cannot be read.
        DataError: a list, a sentence or an annotation is bad.
    """
    if split not in ("train", "val", "test"):
        raise DataError(f"{folder}: there is no split {split[:40]!r}: train, val or test.")
    return examples_of_list(folder, folder / f"{split}.txt", left_out)


def examples_of_list(folder: Path, images: Path, left_out: list[LeftOut] | None = None) -> list[Example]:
    """As :func:`read_examples`, of the images whose ids stand in a file, one in a line."""
    bad, names = BadRows(str(images)), dict[str, None]()
    for number, line in read_lines(images, "images"):
        name = line.strip()
        if not name.isascii() or not name.isdigit():
            bad.add(number, f"{name[:40]!r} is no id of an image, which has digits alone")
        elif name in names:
            bad.add(number, f"image {name} stands in a line before")
        names[name] = None
    bad.refuse()
    found, passed = list[Example](), list[LeftOut]()
    for name in names:
        boxes = _boxes(folder / "Annotations" / f"{name}.xml")
        _add_phrases(folder / "Sentences" / f"{name}.txt", name, boxes, found, passed)
    report(passed, left_out)
    if not found:
        raise SourceError(f"{images}: no image has a phrase with a box.")
    return found


def _add_phrases(
    path: Path, image: str, boxes: Mapping[str, tuple[Box, ...]], found: list[Example], passed: list[LeftOut]
) -> None:
    bad = BadRows(str(path))
    for number, line in read_lines(path, "sentences"):
        if problem := too_long(line):
            bad.add(number, problem)
            continue
        phrases = list(_PHRASE.finditer(line))
        if line.count("[/EN#") != len(phrases):
            bad.add(number, "has a phrase that is not written as [/EN#1/people Two young guys]")
        plain = _PHRASE.sub(lambda phrase: phrase.group(3), line)
        words, signs = [word.start() for word in re.finditer(r"\S+", plain)], 0
        for place, phrase in enumerate(phrases):
            entity, types, text = phrase.groups()
            start, signs = phrase.start() - signs, signs + len(phrase.group()) - len(text)
            name = f"{image}#{number - 1}#{place}"
            if entity == _NOT_VISUAL or entity not in boxes:
                reason = "nothing that can be seen" if entity == _NOT_VISUAL else "without a box"
                passed.append(LeftOut(str(path), number, name, reason))
                continue
            details = {
                "sentence": plain.strip(),
                "first_word": bisect_left(words, start),
                "entity": entity,
                "types": tuple(types.strip("/").split("/")),
                "image_names": ((f"{image}.jpg",),),
            }
            found.append(Example(name, (image,), (text,), target=boxes[entity], details=details))
    bad.refuse()


def _boxes(path: Path) -> dict[str, tuple[Box, ...]]:
    """Boxes of each entity that has some."""
    if not path.is_file():
        raise SourceError(f"{path}: there is no such file of boxes.")
    try:
        text = read_small_text(path, _MOST_BYTES)
        if "<!DOCTYPE" in text or "<!ENTITY" in text:  # the only way to make much of a little XML
            raise DataError(f"{path}: defines a document type or entities, which are not read. Get it anew.")
        found: dict[str, list[Box]] = {}
        things = ElementTree.fromstring(text).findall("object")
        if len(things) > _MOST_BOXES:
            raise ValueError(f"{len(things):,} objects, of which {_MOST_BOXES:,} at most are read")
        for thing in things:
            if (corners := thing.find("bndbox")) is None:
                continue
            box = from_corners([int(corners.findtext(name, "")) - 1 for name in _CORNERS])
            if box is None:
                raise ValueError(f"a box with the corners {[corners.findtext(name, '')[:12] for name in _CORNERS]}")
            for name in thing.findall("name"):  # a box may be of several entities
                found.setdefault((name.text or "").strip(), []).append(box)
    except (OSError, ElementTree.ParseError, ValueError) as error:
        if isinstance(error, DataError):
            raise
        raise DataError(f"{path}: cannot be read as boxes ({first_line(error)}). Get it anew.") from error
    return {entity: tuple(boxes) for entity, boxes in found.items()}


def read_predictions(path: Path) -> dict[str, tuple[Box, ...]]:
    """Boxes x1, y1, x2, y2 by id, best first.

    Raises:
        SourceError: the file is missing, empty or cannot be read.
        DataError: a line has no boxes; the first is named.
    """
    bad, found = BadRows(str(path)), dict[str, tuple[Box, ...]]()
    for number, name, row in object_lines(path, "predictions", "id"):
        given = row.get("boxes")
        boxes = [from_corners(one) for one in given] if isinstance(given, list) else [None]
        whole = tuple(box for box in boxes if box is not None)
        if len(whole) != len(boxes):
            bad.add(number, f"{name[:60]}: its boxes are no list of numbers x1, y1, x2, y2")
        found[name] = whole
    bad.refuse()
    return found


def write_predictions(path: Path, predictions: Mapping[str, Sequence[Box]]) -> None:
    """Write lines of ``id`` and ``boxes``, best first.

    Raises:
        StorageError: the disk is full or not writable.
    """
    rows = ({"id": name, "boxes": [list(box) for box in boxes]} for name, boxes in predictions.items())
    atomic_write(path, "".join(json.dumps(row) + "\n" for row in rows))


def metrics(predictions: Mapping[str, Sequence[Box]], examples: Sequence[Example], left_out: int = 0) -> TaskScores:
    """``r@1``, ``r@5``, ``r@10`` by the box around all of a phrase, ``any_r@1`` and so on by any of its boxes.

    Args:
        predictions: of every example, by id, best first; one may be empty, which is wrong.
        examples: with their boxes.
        left_out: phrases without one, for the count.
    """
    ranks = [_ranks(predictions[one.id][: RECALL_AT[-1]], one) for one in examples]
    values = {
        f"{prefix}r@{k}": [float(rank[place] <= k) for rank in ranks]
        for place, prefix in enumerate(("", "any_"))
        for k in RECALL_AT
    }
    return task_scores(values, len(examples), counts={"left_out": left_out})


def _ranks(boxes: Sequence[Box], example: Example) -> tuple[int, int]:
    """Rank, from 1, of the first right box by both protocols; beyond all where none is right."""
    right = example.target
    assert isinstance(right, Sequence)
    found = iou_matrix(boxes, [enclosing(right), *right]) >= LEAST_IOU
    first, any_of = (
        int(hits.argmax()) + 1 if hits.any() else RECALL_AT[-1] + 1 for hits in (found[:, 0], found[:, 1:].any(axis=1))
    )
    return first, any_of


def score_files(predictions: Path, folder: Path, images: Path | None = None) -> TaskScores:
    """Scores of a file of predictions by a folder of the organisers' files.

    Args:
        predictions: lines of ``id`` and ``boxes``; those of phrases without a box are passed over.
        folder: with Sentences and Annotations.
        images: the list of images to score; the folder's test.txt when not given.

    Raises:
        SourceError: a file is missing, empty or cannot be read.
        DataError: rows are bad, or a phrase has no prediction or a prediction no phrase.
    """
    passed, listing = list[LeftOut](), images or folder / "test.txt"
    examples, predicted = examples_of_list(folder, listing, passed), read_predictions(predictions)
    no_box = {one.id for one in passed}
    counted = {name: boxes for name, boxes in predicted.items() if name not in no_box}
    require_predicted(predictions, counted.keys(), {one.id: None for one in examples}, "phrase", listing)
    return metrics(counted, examples, len(passed))


SCORER = Scorer("Flickr30K Entities", "phrases", score_files, ("folder of official files", "list of images"))
