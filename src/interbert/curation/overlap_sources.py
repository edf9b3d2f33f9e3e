"""Images and texts of whatever may overlap: region stores, tables and folders of images, texts, tasks' official files.

Ids count anew in every collection: image 42 of COCO is another one than image 42 of Visual Genome. So an id is compared
within its collection; ids of an unknown one are compared as names of files are (:mod:`interbert.regions.name_index`).
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Any

from interbert.curation.image_options import ImageOptions
from interbert.curation.image_rules import ImageRules
from interbert.curation.leaks import further_texts, read_texts
from interbert.data.pairs import normal_text
from interbert.data.row_files import cell_text
from interbert.errors import ColumnError, DataError, SourceError
from interbert.extraction.columns import ColumnMapping
from interbert.extraction.decoding import with_bytes
from interbert.extraction.sources import ImageSource, open_source
from interbert.regions.json_stream import json_elements
from interbert.regions.store import RegionStore, is_store
from interbert.vl_tasks import flickr_entities, gqa, nlvr, refcoco, snli_ve, vcr, vqa
from interbert.vl_tasks.example import Example
from interbert.vl_tasks.official_files import is_number
from interbert.vl_tasks.task import names_of_images

COLLECTIONS = ("coco", "visual-genome", "flickr30k")
"""Whose ids are known apart from others'."""
_COCO = re.compile(r"COCO_[a-z]+\d{4}_(\d{1,18})|0(\d{11})", re.ASCII)
"""Names that nothing but COCO has: of 2014 and 2015, and of 2017."""
_ENDING = re.compile(r"\.(jpe?g|png|webp|gif|bmp|tiff?)$", re.IGNORECASE)


@dataclass(frozen=True)
class Place:
    """Where something stands."""

    file: str
    row: int
    """As messages count it: rows of tables, folders and stores from 0; lines and examples of official files from 1."""
    id: str


@dataclass(frozen=True)
class SourceImage:
    """An image of a source."""

    names: tuple[str, ...]
    """Its id, and what else it is called."""
    keys: tuple[str, ...]
    """Collection and id, ``coco/42``; none where the collection is unknown."""
    place: Place
    digest: str = ""
    """SHA-256 of its file, 64 hex digits; "" when it is not known."""
    hash: bytes = b""
    """Perceptual hash; empty when the file is not there."""
    load: Callable[[], bytes] | None = field(default=None, compare=False)
    """Reads its file again."""


@dataclass
class OverlapSource:
    """What a source holds, each image and each text once, with the first place of it."""

    name: str
    images: dict[str, SourceImage] = field(default_factory=dict)
    texts: dict[str, Place] = field(default_factory=dict)
    """By the text without case, with single spaces."""
    problems: list[str] = field(default_factory=list)
    """What cannot be read, and so is not compared, in words."""

    def add_text(self, text: str, place: Place) -> None:
        """A text; an empty one is none."""
        if normal := normal_text(text):
            self.texts.setdefault(normal, place)


_Reader = Callable[[Path, str | None], list[Example]]


def _flickr_entities(folder: Path, split: str | None) -> list[Example]:
    splits = [split] if split else [one for one in ("train", "val", "test") if (folder / f"{one}.txt").is_file()]
    if not splits:
        raise SourceError(f"{folder}: has no list of images: train.txt, val.txt or test.txt.")
    return [example for one in splits for example in flickr_entities.read_examples(folder, one, [])]


_READERS: dict[str, tuple[_Reader, str | None]] = {
    "vqa": (lambda path, split: vqa.read_examples(path), "coco"),
    "gqa": (lambda path, split: gqa.read_examples(path), "visual-genome"),
    "vcr": (lambda path, split: vcr.read_examples(path), None),
    "nlvr": (lambda path, split: nlvr.read_examples(path, split), None),
    "nlvr2": (lambda path, split: nlvr.read_examples(path, split), None),
    "snli-ve": (lambda path, split: snli_ve.read_examples(path, left_out=[]), "flickr30k"),
    "refcoco": (refcoco.read_examples, "coco"),
    "refcoco+": (refcoco.read_examples, "coco"),
    "refcocog": (refcoco.read_examples, "coco"),
    "flickr-entities": (_flickr_entities, "flickr30k"),
}
"""Task -> reader of its official files without second ones, and the collection that its images are of."""


_ONE_SPLIT = frozenset(("vqa", "gqa", "vcr", "snli-ve"))
"""Tasks a file of which is one split, so that none can be chosen of it."""


def visual_genome_ids(path: Path) -> dict[str, str]:
    """COCO's id of each image of Visual Genome that is in COCO, out of its ``image_data.json``.

    Raises:
        SourceError: the file is missing or no JSON.
        DataError: it has no images with a coco_id.
    """
    if not path.is_file():
        raise SourceError(f"{path}: there is no such file of Visual Genome's images.")
    rows = (one for _, one in json_elements(path) if isinstance(one, Mapping))
    found = {cell_text(one.get("image_id")): cell_text(one.get("coco_id")) for one in rows}
    in_coco = {image: coco for image, coco in found.items() if image and is_number(coco)}
    if not in_coco:
        raise DataError(f"{path}: has no image_id with a coco_id. Give Visual Genome's image_data.json.")
    return in_coco


def keys_of(names: Sequence[str], collection: str | None, in_coco: Mapping[str, str]) -> tuple[str, ...]:
    """Collections and ids of an image.

    Args:
        names: its id, and what else it is called.
        collection: one of :data:`COLLECTIONS`; None when it is unknown, which COCO's own names are not.
        in_coco: COCO's ids of Visual Genome's images.
    """
    found: dict[str, None] = {}
    for name in names:
        stem = _ENDING.sub("", name.replace("\\", "/").rsplit("/", 1)[-1])
        number = str(int(stem)) if is_number(stem) else stem
        if coco := _COCO.fullmatch(stem):
            found[f"coco/{int(coco.group(1) or coco.group(2))}"] = None
        elif collection is not None:
            found[f"{collection}/{number}"] = None
        if collection == "visual-genome" and number in in_coco:
            found[f"coco/{int(in_coco[number])}"] = None
    return tuple(found)


@dataclass(frozen=True)
class Asked:
    """A source, and how to read it."""

    path: str
    """Region store; whatever ``extract`` reads; a table or .txt of texts; or TASK=PATH, official files."""
    collection: str | None = None
    """That its image ids are of; None takes the task's, or leaves them unknown."""
    split: str | None = None
    """To read, of what has several."""
    id_column: str | None = None
    """Of a table, the column of its image ids; without it an image is called as its file, and has no id else."""


def read_source(asked: Asked, in_coco: Mapping[str, str], near: bool) -> OverlapSource:
    """Read a source.

    Args:
        asked: which, and how.
        in_coco: COCO's ids of Visual Genome's images.
        near: hash images, where their files are there.

    Raises:
        SourceError, DataError, StoreError, ColumnError: it is missing, bad, or holds neither images nor texts.
    """
    task, _, path = asked.path.partition("=")
    if path and task not in _READERS and re.fullmatch(r"[a-z0-9+-]+", task) and not os.path.exists(asked.path):
        raise SourceError(f"{asked.path}: there is no task {task[:40]!r}. Tasks: {', '.join(_READERS)}.")
    if asked.split is not None and ((task in _ONE_SPLIT and path) or is_store(asked.path)):
        raise SourceError(f"{asked.path}: is one split, so {asked.split[:40]!r} cannot be chosen of it.")
    if task in _READERS and path:
        reader, usual = _READERS[task]
        examples = reader(Path(path).expanduser(), asked.split)
        found = _of_examples(asked.path, path, examples, asked.collection or usual, in_coco)
    elif is_store(asked.path):
        found = _of_store(asked.path, asked.collection, in_coco)
    else:
        found = _of_table(asked, in_coco, near)
    if not found.images and not found.texts:
        raise SourceError(f"{asked.path}: holds neither an image nor a text to look for.")
    return found


def _of_examples(
    source: str, path: str, examples: Sequence[Example], collection: str | None, in_coco: Mapping[str, str]
) -> OverlapSource:
    found = OverlapSource(source)
    for number, one in enumerate(examples, 1):
        place = Place(path, number, one.id)
        for names in names_of_images(one):
            if names[0] not in found.images:
                found.images[names[0]] = SourceImage(names, keys_of(names, collection, in_coco), place)
        for text in (*one.texts, *one.second_texts):
            found.add_text(text, place)
    return found


def _of_store(source: str, collection: str | None, in_coco: Mapping[str, str]) -> OverlapSource:
    found = OverlapSource(source)
    for one in RegionStore.open(source).captions():
        place = Place(source, one.row, one.image_id)
        if one.image_id not in found.images:
            names = (one.image_id,)
            found.images[one.image_id] = SourceImage(names, keys_of(names, collection, in_coco), place, one.digest)
        for text in one.texts:
            found.add_text(text, place)
    return found


def _of_table(asked: Asked, in_coco: Mapping[str, str], near: bool) -> OverlapSource:
    found = OverlapSource(asked.path)
    try:
        opened = open_source(asked.path, ColumnMapping(image_id=asked.id_column), asked.split, need_texts=False)
    except (SourceError, ColumnError) as error:
        if asked.id_column is not None:
            raise
        for text, where in read_texts(asked.path, error, found.problems):
            found.add_text(text, _place_of(asked.path, where))
        return found
    rules = ImageRules(ImageOptions()) if near else None
    for row in range(len(opened)):
        _add_row(found, opened, row, asked.collection, in_coco, rules)
    for text, where in further_texts(opened):
        found.add_text(text, _place_of(asked.path, where))
    return found


def _add_row(
    found: OverlapSource,
    opened: ImageSource,
    row: int,
    collection: str | None,
    in_coco: Mapping[str, str],
    rules: ImageRules | None,
) -> None:
    read = opened[row]
    # without a column of ids they are the rows' numbers, which two tables always share
    file = read.data.name if isinstance(read.data, Path) else ""
    name = file if opened.columns.image_id is None else read.image_id
    item, place = with_bytes(read), Place(found.name, row, name)
    for text in item.texts:
        found.add_text(text, place)
    if not isinstance(item.data, bytes):
        found.problems.append(f"{item.where}: {item.problem}")
        return
    names = (name,) if name else ()
    keys = keys_of(names, collection, in_coco)
    if rules is None:
        digest, shape = hashlib.sha256(item.data).hexdigest(), b""
    else:
        judged = rules.judge(item.data)
        digest, shape = judged.digest.hex(), judged.hash if any(judged.hash) else b""
        if not shape:
            found.problems.append(f"{item.where}: has no hash, so it is compared by id and file alone; is it damaged?")
    found.images[item.where] = SourceImage(names, keys, place, digest, shape, lambda: _file(opened, row))


def _file(opened: ImageSource, row: int) -> bytes:
    data: Any = with_bytes(opened[row]).data
    return data if isinstance(data, bytes) else b""


def _place_of(source: str, where: str) -> Place:
    """A place that is said in words, such as ``test.csv, line 3``."""
    digits = re.search(r"(\d+)$", where)
    return Place(source, int(digits.group(1)) if digits else 0, "")


def all_images(sources: Sequence[OverlapSource]) -> Iterator[SourceImage]:
    """Images of several sources, one after the other."""
    return chain.from_iterable(source.images.values() for source in sources)
