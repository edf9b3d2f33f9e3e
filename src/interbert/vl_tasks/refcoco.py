"""RefCOCO, RefCOCO+ and RefCOCOg: which box of an image an expression refers to.

A folder has ``refs(unc).p``, or of RefCOCOg ``refs(umd).p``, a pickle of ``[{"ref_id", "ann_id", "image_id", "split",
"sentences": [{"sent_id", "sent", "raw", "tokens"}], ...}]`` that is read without being run, and ``instances.json`` with
the image files and each object's ``bbox`` as x, y, w, h (Kazemzadeh et al. 2014, Yu et al. 2016, Mao et al. 2016). A
prediction is right when its IoU with the box of the expression is above 0.5, by areas w * h
(:func:`interbert.vl_tasks.boxes.iou`). There is no leaderboard; predictions are a JSON list
``[{"sent_id": 12, "bbox": [x, y, w, h]}]``, with boxes as in instances.json.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from interbert.data.row_files import BadRows, cell_text
from interbert.errors import DataError, SourceError, first_line, listed
from interbert.regions.importers.pickles import UnsafePickleError, loads
from interbert.tasks.scoring import Scorer
from interbert.utils.files import atomic_write
from interbert.utils.texts import too_long, whole_text
from interbert.vl_tasks.boxes import from_xywh, iou, to_xywh
from interbert.vl_tasks.example import Box, Example
from interbert.vl_tasks.official_files import is_number, list_elements, require_predicted
from interbert.vl_tasks.scores import TaskScores, task_scores

LEAST_IOU = 0.5
"""A box is right above this."""
SPLITS = ("train", "val", "test", "testA", "testB")
"""testA has images of several people, testB of several other objects; RefCOCOg has test in their place."""
_REFS = ("refs(unc).p", "refs(umd).p")
_UNFIT = "refs(google).p"
_MOST_BYTES = 1 << 28
_MOST_STEPS = 20_000_000
"""Of a pickle of references: the largest, RefCOCO+ with 142,000 sentences, takes some ten million."""


@dataclass(frozen=True)
class _Image:
    names: tuple[str, ...]
    places: dict[str, int] = field(default_factory=dict)
    """Of its annotations, by id."""
    boxes: list[Box] = field(default_factory=list)
    categories: list[str] = field(default_factory=list)

    @cached_property
    def candidates(self) -> tuple[tuple[Box, ...], tuple[str, ...]]:
        """Boxes and their categories when all are there: one and the same for all expressions."""
        return tuple(self.boxes), tuple(self.categories)


def read_examples(folder: Path, split: str | None = None) -> list[Example]:
    """Expressions with the boxes of their image, in the file's order.

    Args:
        folder: of the two files.
        split: one of :data:`SPLITS`; None reads all.

    Returns:
        ``id``: the sent_id; ``boxes``: of all annotated objects of the image, as candidates; ``target``: the right box;
        ``details``: ``split``, ``ref_id``, ``ann_id``, ``raw`` text, ``categories`` of the candidates, ``image_names``.

    Raises:
        SourceError: a file is missing or cannot be read, or holds no expression of the split.
        DataError: a reference is bad, or names an image or an object that instances.json lacks.
    """
    refs, instances = _refs_file(folder), folder / "instances.json"
    images = _read_images(instances)
    bad, found, seen = BadRows(str(refs)), list[Example](), set[str]()
    for number, ref in enumerate(_unpickled(refs), 1):
        examples = _examples(ref, images, instances)
        if isinstance(examples, str):
            bad.add(number, examples)
            continue
        twice = next((one.id for one in examples if one.id in seen), None)
        if twice is not None:
            bad.add(number, f"sent_id {twice} stands in a reference before")
        seen.update(one.id for one in examples)
        found += [one for one in examples if split in (None, one.details["split"])]
    bad.refuse()
    if not found:
        raise SourceError(f"{refs}: holds no expression{f' of the split {split!r}' if split else ''}.")
    return found


def _refs_file(folder: Path) -> Path:
    there = [folder / name for name in _REFS if (folder / name).is_file()]
    if len(there) == 1:
        return there[0]
    if not there and (folder / _UNFIT).is_file():
        raise SourceError(
            f"{folder}: has {_UNFIT} alone, whose splits share images and have no test. Get {' or '.join(_REFS)}."
        )
    raise SourceError(f"{folder}: one of the files {' and '.join(_REFS)} has to be there, and {len(there)} are.")


def _unpickled(path: Path) -> list[Any]:
    try:
        with path.open("rb") as stream:
            raw = stream.read(_MOST_BYTES + 1)
        if len(raw) > _MOST_BYTES:
            raise SourceError(f"{path}: has more than {_MOST_BYTES:,} bytes, which are not read.")
        value = loads(raw, _MOST_STEPS)
    except UnsafePickleError as error:
        raise DataError(f"{path}: is no pickle of references ({first_line(error)}). Get it anew.") from error
    except OSError as error:
        raise SourceError(f"{path}: cannot be read ({error.strerror}).") from error
    if not isinstance(value, list) or not value:
        raise DataError(f"{path}: is no list of references. Get it anew.")
    return value


def _read_images(path: Path) -> dict[str, _Image]:
    """Images by id, each with the boxes of its annotations."""
    bad, images = BadRows(str(path)), dict[str, _Image]()
    for number, name, row in list_elements(path, "instances", "images", "id"):
        file = row.get("file_name")
        if not isinstance(file, str) or not file:
            bad.add(number, f"image {name} has no file_name")
        else:
            images[name] = _Image((Path(file).stem, file))
    bad.refuse()
    for number, name, row in list_elements(path, "instances", "annotations", "id"):
        image, box = images.get(cell_text(row.get("image_id"))), from_xywh(row.get("bbox"))
        if image is None or box is None:
            problem = "is of an image that the file does not have" if image is None else "has no bbox x, y, w, h"
            bad.add(number, f"annotation {name} {problem}")
            continue
        image.places[name] = len(image.boxes)
        image.boxes.append(box)
        image.categories.append(cell_text(row.get("category_id")))
    bad.refuse()
    return images


def _examples(ref: Any, images: Mapping[str, _Image], instances: Path) -> list[Example] | str:
    """The expressions of a reference, or what is wrong with it."""
    if not isinstance(ref, Mapping):
        return "is no reference"
    ref_id, image_id, annotation = (cell_text(ref.get(name)) for name in ("ref_id", "image_id", "ann_id"))
    image, split, sentences = images.get(image_id), ref.get("split"), ref.get("sentences")
    if image is None:
        return f"ref_id {ref_id[:40]} is of image {image_id[:40]!r}, which {instances} does not have"
    if annotation not in image.places:
        return f"ref_id {ref_id[:40]} is of object {annotation[:40]!r}, which image {image_id} of {instances} has not"
    if split not in SPLITS or not isinstance(sentences, list) or not sentences:
        return f"ref_id {ref_id[:40]} has no {'sentences' if split in SPLITS else f'split of {listed(SPLITS)}'}"
    boxes, categories = image.candidates
    details = {
        "split": split,
        "ref_id": ref_id,
        "ann_id": annotation,
        "categories": categories,
        "image_names": (image.names,),
    }
    right, found = boxes[image.places[annotation]], list[Example]()
    for one in sentences:
        name = cell_text(one.get("sent_id")) if isinstance(one, Mapping) else ""
        text = one.get("sent") if name else None
        if not isinstance(text, str) or not text.strip() or too_long(text):
            return f"ref_id {ref_id[:40]} has a sentence without sent_id, or whose sent is none or too long"
        if not is_number(name):
            return f"ref_id {ref_id[:40]} has the sent_id {name[:40]!r}, which is no whole number"
        of_sentence = {**details, "raw": one.get("raw")}
        found.append(Example(name, (image_id,), (whole_text(text),), (), boxes, (right,), of_sentence))
    return found


def ceiling(examples: Sequence[Example], candidates: Mapping[str, Sequence[Box]] | None = None) -> float:
    """Share of expressions one of whose candidate boxes is right: no model that chooses among them does better.

    Args:
        examples: at least one.
        candidates: boxes of an image by its id; None takes the given ones.
    """
    boxes = (one.boxes if candidates is None else candidates.get(one.images[0], ()) for one in examples)
    right = (any(_is_right(box, one) for box in each) for one, each in zip(examples, boxes, strict=True))
    return sum(right) / len(examples)


def _is_right(box: Box, example: Example) -> bool:
    assert isinstance(example.target, Sequence)
    return iou(box, example.target[0]) > LEAST_IOU


def read_predictions(path: Path) -> dict[str, Box]:
    """Box x1, y1, x2, y2 by sent_id.

    Raises:
        SourceError: the file is missing, empty or cannot be read.
        DataError: a prediction has no box; the first is named.
    """
    bad, found = BadRows(str(path)), dict[str, Box]()
    for number, name, row in list_elements(path, "predictions", None, "sent_id"):
        box = from_xywh(row.get("bbox"))
        if box is None:
            bad.add(number, f"sent_id {name[:40]}: its bbox is no list of numbers x, y, w, h")
        else:
            found[name] = box
    bad.refuse()
    return found


def write_predictions(path: Path, predictions: Mapping[str, Box]) -> None:
    """Write the boxes as x, y, w, h, each on a line of one JSON list.

    Raises:
        StorageError: the disk is full or not writable.
    """
    rows = ({"sent_id": int(name), "bbox": to_xywh(box)} for name, box in predictions.items())
    atomic_write(path, "[\n" + ",\n".join(map(json.dumps, rows)) + "\n]\n")


def metrics(predictions: Mapping[str, Box], examples: Sequence[Example]) -> TaskScores:
    """``accuracy_SPLIT`` and ``n_SPLIT`` of each split of the examples; there is no number over several.

    Args:
        predictions: of every example, by id.
        examples: of one split or more.
    """
    values = defaultdict[str, list[float]](list)
    for one in examples:
        values[one.details["split"]].append(float(_is_right(predictions[one.id], one)))
    there = [split for split in SPLITS if split in values]
    return task_scores(
        {f"accuracy_{split}": values[split] for split in there},
        len(examples),
        counts={f"n_{split}": len(values[split]) for split in there},
    )


def score_files(predictions: Path, folder: Path) -> TaskScores:
    """Scores of a file of predictions, of one whole split or several, by a folder of the organisers' files.

    Raises:
        SourceError: a file is missing, empty or cannot be read.
        DataError: rows are bad, a split has a part of its predictions, or a prediction no expression.
    """
    predicted, examples = read_predictions(predictions), read_examples(folder)
    splits = {one.details["split"] for one in examples if one.id in predicted}
    counted = [one for one in examples if one.details["split"] in splits]
    require_predicted(predictions, predicted.keys(), {one.id: None for one in counted}, "expression", folder)
    return metrics(predicted, counted)


SCORER = Scorer("Referring expressions", "expressions", score_files, ("folder of refs and instances.json",))
