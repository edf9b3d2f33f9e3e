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
from dataclasses import replace
from typing import Any

from made_task_stages import TASKS, Workplace, extract_drawings, files_of, shared_stages

from interbert.training.options import TrainingOptions
from interbert.vl_tasks.evaluate import Evaluation, evaluate_task
from interbert.vl_tasks.finetune import finetune_task
from interbert.vl_tasks.options import EvaluateTaskOptions, FinetuneTaskOptions
from interbert.vl_tasks.task import primary_of


def main() -> None:
    arguments = _arguments()
    place = Workplace(arguments)
    place.out.mkdir(parents=True, exist_ok=True)
    shared = shared_stages(place)
    for stage, work in shared.items():
        place.timed(stage, work)
    lines = []
    for name in arguments.tasks.split(","):
        if name == "nlvr":
            place.timed("drawings of nlvr", lambda: extract_drawings(place))
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


def _stores(place: Workplace, name: str, given: bool, blind: bool) -> list[str]:
    """Stores of given regions, or of those that count as detected; none of what the task does not read."""
    kind = name if name in ("nlvr", "nlvr2") else "blind" if blind else "regions"
    return [place.store(split, kind) for split in place.scenes if TASKS[name].given == given]


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
    own = ["drawings of nlvr", name] if name == "nlvr" else [name]
    minutes, computed = place.minutes(*shared, *own)
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
    source, annotations = files_of(place, name, made.source, made.annotations)
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
        regions=_stores(place, name, False, blind),
        given_regions=_stores(place, name, True, blind),
    )


def _evaluation(place: Workplace, name: str, without: bool = False) -> EvaluateTaskOptions:
    made = TASKS[name]
    source, annotations = files_of(place, name, made.test, made.test_annotations)
    blind = without and made.of_regions
    return EvaluateTaskOptions(
        model=str(place.out / "models" / f"{name}{'-without' if without else ''}"),
        source=source,
        annotations=annotations,
        split=made.split,
        text_only=without and not blind,
        regions=_stores(place, name, False, blind),
        given_regions=_stores(place, name, True, blind),
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
