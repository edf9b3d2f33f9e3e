"""What all tasks of made_tasks.py share: images, files, regions, the pretrained trunk; and how long each stage took."""

from __future__ import annotations

import argparse
import json
import random
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from composition_scenes import render
from made_nlvr_files import drawings, nlvr2_names
from made_task_files import write_task_files
from made_task_scenes import captions, draw_scene
from small_trunk import model_options, text_training

from interbert.extraction.columns import ColumnMapping
from interbert.extraction.extract import extract_to_store
from interbert.extraction.given import GivenExtractor
from interbert.extraction.grid import GridExtractor, GridSettings
from interbert.extraction.sources import open_source
from interbert.regions.schema import RegionRecord
from interbert.regions.store import RegionStore, is_store
from interbert.training.options import (
    MaskingOptions,
    NegativeOptions,
    PretrainOptions,
    TrainingOptions,
    WarmStartOptions,
)
from interbert.training.pretrain import pretrain
from interbert.training.pretrain_text import pretrain_text
from interbert.vl_tasks.loading import official_files
from interbert.vl_tasks.task import find_task

_CAPTIONS = tuple(f"caption{place}" for place in range(4))
_TEST_FROM = 500_000
"""Id of the first test image."""


@dataclass(frozen=True)
class MadeTask:
    """A task's files and how long it is trained."""

    source: str
    test: str
    annotations: str | None = None
    test_annotations: str | None = None
    split: str | None = None
    steps: int = 1200
    given: bool = False
    """Regions are read as given ones."""
    of_regions: bool = False


TASKS = {
    "vqa": MadeTask("questions_train.json", "questions_test.json", "annotations_train.json", "annotations_test.json"),
    "nlvr2": MadeTask("train.json", "dev.json", steps=1000),
    "refcoco": MadeTask("", "", split="test", steps=1000, given=True, of_regions=True),
    "gqa": MadeTask("train_balanced_questions.json", "val_balanced_questions.json", steps=2000),
    "snli-ve": MadeTask("snli_ve_train.jsonl", "snli_ve_dev.jsonl"),
    "vcr": MadeTask("train.jsonl", "val.jsonl", "vcr1images", "vcr1images", steps=1000, given=True),
    "flickr-entities": MadeTask("", "", split="test", steps=1000, of_regions=True),
    "nlvr": MadeTask("train.json", "dev.json", steps=1000),
}


class Workplace:
    """Folder of everything, with the time that each stage took.

    Args:
        arguments: of the command line.
    """

    def __init__(self, arguments: argparse.Namespace) -> None:
        self.out = Path(arguments.out)
        self.arguments = arguments
        self.files = self.out / "files"
        draw = random.Random(arguments.seed)
        self.scenes = {
            split: [draw_scene(first + place, draw) for place in range(count)]
            for split, first, count in (("train", 1000, arguments.train), ("test", _TEST_FROM, arguments.test))
        }

    def store(self, split: str, kind: str = "regions") -> str:
        """Path of a region store."""
        return str(self.out / "stores" / kind / split)

    def timed(self, stage: str, work: Callable[[], None]) -> None:
        """Do a stage's work, and remember how long it took; of one that was stopped, the sum of its runs."""
        path = self.out / "times.json"
        wall, computed = time.monotonic(), time.process_time()
        try:
            work()
        finally:
            spent = [time.monotonic() - wall, time.process_time() - computed]
            times = self.times()
            times[stage] = [old + new for old, new in zip(times.get(stage, [0.0, 0.0]), spent, strict=True)]
            path.write_text(json.dumps(times, indent=1) + "\n", encoding="utf-8")
        print(f"{stage}: {spent[0]:.0f} s, of which {spent[1]:.0f} s computed", flush=True)

    def times(self) -> dict[str, list[float]]:
        """Seconds of each stage: wall clock, and of the processors."""
        path = self.out / "times.json"
        return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}

    def minutes(self, *stages: str) -> list[float]:
        """Minutes of stages together: wall clock, and of the processors."""
        times = self.times()
        return [round(sum(times[stage][which] for stage in stages) / 60, 1) for which in (0, 1)]


def shared_stages(place: Workplace) -> dict[str, Callable[[], None]]:
    """Stages that every task needs, in their order; each does nothing when it is done."""
    return {
        "drawing": lambda: _write_files(place),
        "extraction": lambda: _extract(place),
        "texts": lambda: pretrain_text(
            text_training(place.out / "texts.txt", place.out / "text", place.arguments.seed)
        ),
        "pretraining": lambda: pretrain(_pretraining(place)),
    }


def _write_files(place: Workplace) -> None:
    """Official files, and a table of images, boxes and captions of each split."""
    if all((place.out / f"{split}.parquet").is_file() for split in place.scenes):
        return
    write_task_files(place.files, place.scenes["train"], place.scenes["test"], place.arguments.seed)
    draw = random.Random(f"captions {place.arguments.seed}")
    for split, scenes in place.scenes.items():
        said = [captions(scene, draw) for scene in scenes]
        columns: dict[str, list[Any]] = {
            "image": [render(scene.things) for scene in scenes],
            "id": [str(scene.id) for scene in scenes],
            "boxes": [json.dumps(scene.boxes) for scene in scenes],
        }
        columns |= {name: [one[at] for one in said] for at, name in enumerate(_CAPTIONS)}
        if split == "train":
            texts = [text for one in said for text in one] + _texts_of(place)
            (place.out / "texts.txt").write_text("\n".join(texts) + "\n", encoding="utf-8")
        pq.write_table(pa.table(columns), place.out / f"{split}.parquet")


def _texts_of(place: Workplace) -> list[str]:
    """Texts of the training examples of all tasks, so that the vocabulary has their words."""
    found: dict[str, None] = {}
    for name, made in TASKS.items():
        files = files_of(place, name, made.source, made.annotations)
        task = find_task(name)
        split = task.splits[0] if task.splits else None
        for one in task.read(official_files(*files, split)):
            found |= dict.fromkeys((*one.texts, *one.second_texts))
    return list(found)


def files_of(place: Workplace, name: str, source: str, annotations: str | None) -> tuple[str, str | None]:
    """Paths of a task's file and of its second one."""
    folder = place.files / name
    return str(folder / source), None if annotations is None else str(folder / annotations)


def _extract(place: Workplace) -> None:
    """Stores: ``regions`` of the scenes, ``nlvr2`` with its names of the same images, ``blind`` with one feature."""
    for split, scenes in place.scenes.items():
        mapping = ColumnMapping("image", _CAPTIONS, "id", None, "boxes", "xyxy")
        source = open_source(str(place.out / f"{split}.parquet"), mapping)
        extract_to_store(source, place.store(split), GivenExtractor(GridExtractor(GridSettings())))
        store = RegionStore.open(place.store(split))
        if not is_store(place.store(split, "nlvr2")):
            _write_copy(store, place.store(split, "nlvr2"), nlvr2_names(split, scenes))
        if not is_store(place.store(split, "blind")):
            _write_copy(store, place.store(split, "blind"), {str(scene.id): scene.id for scene in scenes}, blind=True)


def extract_drawings(place: Workplace) -> None:
    """Stores ``nlvr``: drawings of that task alone."""
    for split, scenes in place.scenes.items():
        table = place.out / f"nlvr-{split}.parquet"
        if not table.is_file():
            drawn = drawings(split, scenes)
            boxes = [json.dumps([one.box for one in things]) for things in drawn.values()]
            columns = {"image": [render(things) for things in drawn.values()], "id": list(drawn), "boxes": boxes}
            pq.write_table(pa.table(columns), table)
        source = open_source(str(table), ColumnMapping("image", (), "id", None, "boxes", "xyxy"), need_texts=False)
        extractor = GivenExtractor(GridExtractor(GridSettings()))
        extract_to_store(source, place.store(split, "nlvr"), extractor, need_texts=False)


def _write_copy(store: RegionStore, out: str, names: dict[str, int], blind: bool = False) -> None:
    """The same images under other names; ``blind`` gives every region the mean feature of the first 500 images."""
    rows = {one.image_id: one for one in store.captions()}
    regions = dict(zip(rows, store.take([one.row for one in rows.values()]), strict=True))
    mean = np.concatenate([one.features for one in list(regions.values())[:500]]).mean(axis=0, dtype=np.float32)
    records = []
    for at, (name, scene) in enumerate(names.items()):
        found = regions[str(scene)]
        if blind:
            found = replace(found, features=np.tile(mean, (len(found.boxes), 1)).astype(found.features.dtype))
        records.append(RegionRecord(name, name, rows[str(scene)].digest, 0, at, (), (), found))
    RegionStore.create(out, store.info).append(records)


def _pretraining(place: Workplace) -> PretrainOptions:
    return PretrainOptions(
        regions=place.store("train"),
        validation_share=0.03,
        validation_limit=64,
        out=str(place.out / "pretrained"),
        init_from=str(place.out / "text"),
        warm_start=WarmStartOptions(head_epochs=0, epochs=0),
        # no dual encoder: no task reads it, and its loss would be most of the clipped gradient
        model=model_options(contrastive_size=None),
        masking=MaskingOptions(text="token"),
        # random ones: with partners from the first step matching stays at chance
        negatives=NegativeOptions(hard_share=0.0, near_same=None),
        training=TrainingOptions(
            epochs=1e4,
            max_steps=place.arguments.pretrain_steps,
            batch_size=64,
            learning_rate=1e-3,
            ema_decay=0.998,
            seed=place.arguments.seed,
        ),
    )
