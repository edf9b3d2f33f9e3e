"""Whether each vision-and-language task is learnt, and from the image: made data in the official formats.

    python benchmarks/made_tasks.py --out runs/made [--tasks vqa,nlvr2,refcoco] [--train 3000] [--test 600]

Scenes and official files are made by made_task_files.py; features are what extraction finds at the objects' boxes on
the drawn pixels. A small trunk is pretrained on captions of the training images by ``interbert``'s own stages,
fine-tuned for each task from the official files, and judged by the official metric on images that no stage has seen.
Controls:

- ``text_only``: a model trained and judged without images. Of the tasks whose answers are regions: trained and judged
  on images every region of which has the mean feature, so that places and texts are all there is.
- ``mean_image``: the model with the image, judged on the mean image.
- ``majority``: the answer that is most often right in training; of tasks without labels the best constant answer, or
  the share of an image's regions that are right.

Resumable: the same command continues. A line of JSON for each task stands at the end: ``accuracy`` is the task's
primary metric, ``low`` the lower end of its 95% bootstrap interval, ``minutes`` the wall clock of everything that the
model with the image took (drawing, extraction, pretraining and fine-tuning, shared parts included), ``cpu_minutes`` the
time that its processors computed.
"""

from __future__ import annotations

import argparse
import json
import os
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
from made_task_files import captions, draw_scene, nlvr2_names, write_task_files

from interbert.extraction.columns import ColumnMapping
from interbert.extraction.extract import extract_to_store
from interbert.extraction.given import GivenExtractor
from interbert.extraction.grid import GridExtractor, GridSettings
from interbert.extraction.sources import open_source
from interbert.regions.schema import RegionRecord
from interbert.regions.store import RegionStore, is_store
from interbert.training.options import (
    MaskingOptions,
    ModelOptions,
    NegativeOptions,
    PretrainOptions,
    TextMaskingOptions,
    TrainingOptions,
    WarmStartOptions,
)
from interbert.training.pretrain import pretrain
from interbert.training.pretrain_text import pretrain_text
from interbert.training.text_options import PretrainTextOptions, TextModelOptions
from interbert.vl_tasks.evaluate import Evaluation, evaluate_task
from interbert.vl_tasks.finetune import finetune_task
from interbert.vl_tasks.options import EvaluateTaskOptions, FinetuneTaskOptions
from interbert.vl_tasks.task import find_task, primary_of

_WIDTH, _HEADS, _INTERACTION = 128, 4, 4
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
    "nlvr2": MadeTask("train.json", "dev.json", steps=2000),
    "refcoco": MadeTask("", "", split="test", given=True, of_regions=True),
    "gqa": MadeTask("train_balanced_questions.json", "val_balanced_questions.json", steps=2000),
    "snli-ve": MadeTask("snli_ve_train.jsonl", "snli_ve_dev.jsonl", steps=1600),
    "vcr": MadeTask("train.jsonl", "val.jsonl", "vcr1images", "vcr1images", given=True),
    "flickr-entities": MadeTask("", "", split="test", of_regions=True),
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


def main() -> None:
    arguments = _arguments()
    place = Workplace(arguments)
    place.out.mkdir(parents=True, exist_ok=True)
    shared = {
        "drawing": lambda: _write_files(place),
        "extraction": lambda: _extract(place),
        "texts": lambda: pretrain_text(_text_training(place)),
        "pretraining": lambda: pretrain(_pretraining(place)),
    }
    for stage, work in shared.items():
        place.timed(stage, work)
    lines = []
    for name in arguments.tasks.split(","):
        lines.append(_judged(place, name, list(shared)))
        print(json.dumps(lines[-1]), flush=True)
    print(table(lines))
    for line in lines:
        print(json.dumps(line))


def table(lines: list[dict[str, Any]]) -> str:
    """Results in per cent."""
    names = ("metric", "result", "low", "text only", "mean image", "majority", "n")
    head = f"{'task':<16}" + "".join(f"{name:>14}" for name in names)
    values = ("accuracy", "low", "text_only", "mean_image", "majority")
    rows = [
        f"{one['task']:<16}{one['metric']:>14}"
        + "".join(f"{100 * one[name]:14.1f}" for name in values)
        + f"{one['n']:14d}"
        for one in lines
    ]
    return "\n".join([head, *rows])


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
        files = _files(place, name, made.source, made.annotations)
        task = find_task(name)
        split = task.splits[0] if task.splits else None
        for one in task.read(replace(_task_files(*files), split=split)):
            found |= dict.fromkeys((*one.texts, *one.second_texts))
    return list(found)


def _task_files(path: str, annotations: str | None) -> Any:
    from interbert.vl_tasks.loading import official_files

    return official_files(path, annotations, None)


def _files(place: Workplace, name: str, source: str, annotations: str | None) -> tuple[str, str | None]:
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


def _text_training(place: Workplace) -> PretrainTextOptions:
    return PretrainTextOptions(
        source=str(place.out / "texts.txt"),
        out=str(place.out / "text"),
        vocabulary_size=400,
        model=TextModelOptions(
            hidden_size=_WIDTH,
            num_layers=_INTERACTION + 1,
            num_attention_heads=_HEADS,
            intermediate_size=4 * _WIDTH,
            dropout=0.0,
        ),
        masking=TextMaskingOptions(text="token"),
        training=TrainingOptions(epochs=2, batch_size=128, learning_rate=1e-3, seed=place.arguments.seed),
    )


def _pretraining(place: Workplace) -> PretrainOptions:
    return PretrainOptions(
        regions=place.store("train"),
        validation_share=0.03,
        validation_limit=64,
        out=str(place.out / "pretrained"),
        init_from=str(place.out / "text"),
        warm_start=WarmStartOptions(head_epochs=0, epochs=0),
        model=ModelOptions(
            pooler_size=_WIDTH,
            contrastive_size=None,  # no task reads the dual encoder, and its loss would be most of the clipped gradient
            dropout=0.0,
            config_overrides={
                "num_interaction_layers": _INTERACTION,
                "num_text_layers": 1,
                "num_image_layers": 1,
                "image_num_attention_heads": _HEADS,
                "image_intermediate_size": 4 * _WIDTH,
                "lm_loss_on_mismatched": False,
                # ImageNet's classes of drawings say little
                "region_loss_weight": 0.05,
            },
        ),
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


def _regions_of(place: Workplace, name: str, blind: bool) -> dict[str, list[str]]:
    kind = "nlvr2" if name == "nlvr2" else "blind" if blind else "regions"
    return {"given_regions" if TASKS[name].given else "regions": [place.store(split, kind) for split in place.scenes]}


def _judged(place: Workplace, name: str, shared: list[str]) -> dict[str, Any]:
    """Train with and without the image, and judge both."""
    blind = TASKS[name].of_regions
    place.timed(name, lambda: finetune_task(name, _finetuning(place, name, without=False)))
    place.timed(f"{name} text only", lambda: finetune_task(name, _finetuning(place, name, without=True)))
    seen = evaluate_task(name, _evaluation(place, name))
    mean = evaluate_task(name, replace(_evaluation(place, name), image_control="mean"))
    without = evaluate_task(name, _evaluation(place, name, without=True))
    assert seen.told is not None
    assert seen.seen.seen == 0, "no test image is in a store that the trunk was trained on"
    majority = seen.told.majority if seen.told.majority is not None else seen.told.chance
    minutes, computed = place.minutes(*shared, name)
    metric, low = _primary(seen)
    assert majority is not None
    return {
        "task": name,
        "metric": metric,
        "accuracy": round(_value(seen), 4),
        "low": round(low, 4),
        "text_only": round(_value(without), 4),
        "mean_image": round(_value(mean), 4),
        "majority": round(majority, 4),
        "n": seen.scores.to_dict()["n"] if seen.scores is not None else 0,
        "control": "blind regions" if blind else "no image",
        "minutes": minutes,
        "cpu_minutes": computed,
        "scores": {key: round(value, 4) for key, value in _numbers(seen).items()},
    }


def _value(found: Evaluation) -> float:
    assert found.scores is not None
    return primary_of(found.task, found.scores)


def _primary(found: Evaluation) -> tuple[str, float]:
    """Name of the primary metric, and the lower end of its interval."""
    name = found.task.primary_metric
    full = next(key for key in found.intervals if key == name or key.startswith(f"{name}_"))
    return full, found.intervals[full].low


def _numbers(found: Evaluation) -> dict[str, float]:
    assert found.scores is not None
    return {key: value for key, value in found.scores.to_dict().items() if isinstance(value, float)}


def _finetuning(place: Workplace, name: str, without: bool) -> FinetuneTaskOptions:
    made = TASKS[name]
    source, annotations = _files(place, name, made.source, made.annotations)
    blind = without and made.of_regions
    steps = max(1, round(made.steps * place.arguments.steps_scale))
    if without and not blind:
        steps //= 2  # there is nothing more to learn
    return FinetuneTaskOptions(
        model=str(place.out / "pretrained"),
        source=source,
        annotations=annotations,
        out=str(place.out / "models" / f"{name}{'-without' if without else ''}"),
        boxes="given" if made.given else "detected",
        validation_limit=500,
        text_only=without and not blind,
        training=TrainingOptions(
            epochs=1e4,
            max_steps=steps,
            batch_size=32 if name == "vcr" else 64,
            learning_rate=place.arguments.learning_rate,
            ema_decay=0.99,
            seed=place.arguments.seed,
        ),
        **_regions_of(place, name, blind),
    )


def _evaluation(place: Workplace, name: str, without: bool = False) -> EvaluateTaskOptions:
    made = TASKS[name]
    source, annotations = _files(place, name, made.test, made.test_annotations)
    blind = without and made.of_regions
    return EvaluateTaskOptions(
        model=str(place.out / "models" / f"{name}{'-without' if without else ''}"),
        source=source,
        annotations=annotations,
        split=made.split,
        text_only=without and not blind,
        **_regions_of(place, name, blind),
    )


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", required=True, help="folder for images, regions, files and models")
    parser.add_argument("--tasks", default=",".join(TASKS), help="which, in this order")
    parser.add_argument("--train", type=int, default=3000, help="training images")
    parser.add_argument("--test", type=int, default=600, help="test images")
    parser.add_argument("--pretrain-steps", type=int, default=3000)
    parser.add_argument("--steps-scale", type=float, default=1.0, help="of the steps of every task")
    parser.add_argument("--learning-rate", type=float, default=5e-4, help="of fine-tuning")
    parser.add_argument("--seed", type=int, default=0)
    return parser.parse_args()


if __name__ == "__main__":
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    main()
