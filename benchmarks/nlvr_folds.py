"""Sentences that people wrote about drawn scenes (NLVR, Suhr et al. 2017): does the joint model read them?

    python benchmarks/nlvr_folds.py ../shared/data/tasks/nlvr1 --out runs/nlvr --composition runs/composition

989 examples of NLVR's development set, the first of six images each, in five folds by sentence (numbers of sets would
put equal sentences of other sets into other folds, 112 examples of them): a fold is judged by a model that learnt from
the other four, of which a tenth of the sentences chooses among 48 validations what is kept. Regions are what `interbert
extract` finds at the objects' boxes, which are in the structured representation. The official six images are one
another's three boxes in another order: training's are put into all six.

    scenes     starts from the model that composition.py pretrained on its scenes
    one order  the same, learning from the image as it is alone
    text       the same, without images: what sentences alone say
    untrained  starts from MiniLM, with image layers that have seen nothing, at a third of the rate (384 wide, not 128)

*Accuracy* of examples, *consistency* of sentences whose examples are all right: over the one image each that is there,
where the official one has six. Intervals (95%) are bootstraps over sentences. Resumable: the same command continues.
Prints a Markdown table, then a line of JSON.
"""

from __future__ import annotations

import argparse
import io
import itertools
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from classifying import right_answers
from explanation import interval
from numpy.typing import NDArray
from PIL import Image

from interbert.checkpoints.directory import load_processor
from interbert.extraction.columns import ColumnMapping
from interbert.extraction.extract import extract_to_store
from interbert.extraction.given import GivenExtractor
from interbert.extraction.grid import GridExtractor, GridSettings
from interbert.extraction.sources import open_source
from interbert.regions.store import RegionStore
from interbert.tasks.retrieval import encode_images
from interbert.training.classify import Labelled
from interbert.training.options import ModelOptions, PretrainOptions, TrainingOptions, WarmStartOptions
from interbert.training.pretrain import pretrain

ARMS = ("scenes", "one order", "text", "untrained")
ORDERS = tuple(itertools.permutations(range(3)))
"""Of the boxes; the first is the image as it is."""
FOLDS = 5
_LEFT = (0, 150, 300)
"""Where the three boxes of an image begin, in pixels."""
_SIDE = 100
_ENLARGED = 4
_DRAWS = 10_000


def main() -> None:
    arguments = _arguments()
    out = Path(arguments.out)
    out.mkdir(parents=True, exist_ok=True)
    text = (arguments.data / "dev.json").read_text(encoding="utf-8")
    examples = [json.loads(line) for line in text.splitlines()]
    store = _extracted(arguments.data, examples, out)
    written = [" ".join(one["sentence"].lower().split()).rstrip(" .") for one in examples]
    sentence_of: NDArray[np.int64] = np.unique(written, return_inverse=True)[1]
    starts = {"scenes": arguments.composition / "pretrained-en", "untrained": _untrained(arguments.composition, out)}
    right = {}
    for arm in ARMS:
        start = starts["untrained" if arm == "untrained" else "scenes"]
        runs = [_judged(arm, seed, start, examples, sentence_of, store, arguments) for seed in range(arguments.seeds)]
        right[arm] = np.stack(runs)
        print(f"{arm}: {[round(100 * float(one.mean()), 1) for one in runs]}", flush=True)
    right["majority"] = _majority(examples, sentence_of)[None]
    _report(right, sentence_of)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="folder with dev.json and images/")
    parser.add_argument("--out", required=True, help="folder for regions, models and answers")
    parser.add_argument("--composition", type=Path, required=True, help="folder of composition.py")
    parser.add_argument("--epochs", type=float, default=48.0, help="of images as they are; a sixth in six orders")
    parser.add_argument("--seeds", type=int, default=2)
    return parser.parse_args()


def _extracted(data: Path, examples: Sequence[dict[str, Any]], out: Path) -> RegionStore:
    """Regions at the objects' boxes, in every order of an image's three boxes."""
    file = out / "images.parquet"
    if not file.is_file():
        rows: dict[str, list[Any]] = {"image": [], "id": [], "sentence": [], "boxes": []}
        for one in examples:
            with Image.open(data / "images" / one["directory"] / f"dev-{one['identifier']}-0.png") as opened:
                image = opened.convert("RGB")
            for place, order in enumerate(ORDERS):
                rows["image"].append(_drawn(image, order))
                rows["id"].append(f"{one['identifier']}-{place}")
                rows["sentence"].append(one["sentence"])
                things = [(left, thing) for left, box in zip(_LEFT, order, strict=True) for thing in _things(one, box)]
                rows["boxes"].append(json.dumps([_box(left, thing) for left, thing in things]))
        pq.write_table(pa.table(rows), file)
    mapping = ColumnMapping("image", ("sentence",), "id", None, "boxes", "xyxy")
    extractor = GivenExtractor(GridExtractor(GridSettings(input_size=512)))  # the smallest things have 10 of 400 pixels
    extract_to_store(open_source(str(file), mapping), str(out / "regions"), extractor)
    return RegionStore.open(str(out / "regions"))


def _things(example: dict[str, Any], box: int) -> list[dict[str, Any]]:
    things: list[dict[str, Any]] = example["structured_rep"][box]
    return things


def _box(left: int, thing: dict[str, Any]) -> list[int]:
    """Of a thing in a box that begins ``left`` of the image, in pixels of the enlarged one."""
    x, y, size = left + thing["x_loc"], thing["y_loc"], thing["size"]
    return [_ENLARGED * side for side in (x, y, min(x + size, left + _SIDE), min(y + size, _SIDE))]


def _drawn(image: Image.Image, order: Sequence[int]) -> bytes:
    """The PNG of an image whose boxes stand in another order, enlarged."""
    drawn = image.copy()
    for left, box in zip(_LEFT, order, strict=True):
        drawn.paste(image.crop((_LEFT[box], 0, _LEFT[box] + _SIDE, _SIDE)), (left, 0))
    buffer = io.BytesIO()
    drawn.resize((_ENLARGED * image.width, _ENLARGED * image.height), Image.Resampling.NEAREST).save(buffer, "PNG")
    return buffer.getvalue()


def _untrained(composition: Path, out: Path) -> Path:
    """An InterBERT from MiniLM after one step of a rate of nothing."""
    options = PretrainOptions(
        regions=str(composition / "regions" / "train"),
        out=str(out / "untrained"),
        text_columns=["caption"],
        init_from="minilm",
        warm_start=WarmStartOptions(head_epochs=0, epochs=0),
        model=ModelOptions(contrastive_size=None),
        validation_limit=20,  # nothing is to be chosen
        training=TrainingOptions(max_steps=1, learning_rate=1e-9),
    )
    pretrain(options)
    return out / "untrained"


def _judged(
    arm: str,
    seed: int,
    start: Path,
    examples: Sequence[dict[str, Any]],
    sentence_of: NDArray[np.int64],
    store: RegionStore,
    arguments: argparse.Namespace,
) -> NDArray[np.floating]:
    """1 for each example [n] that is answered rightly by the model of the other folds, else 0."""
    out = Path(arguments.out)
    kept = out / f"{arm.replace(' ', '-')}-{seed}-{arguments.epochs:g}.npy"
    if kept.is_file():
        known: NDArray[np.floating] = np.load(kept, allow_pickle=False)
        return known
    row_of = {row.image_id: row.row for row in store.captions()}
    orders = 1 if arm in ("one order", "text") else len(ORDERS)
    rows = [row_of[f"{one['identifier']}-{place}"] for one in examples for place in range(orders)]
    images = encode_images(store, rows, load_processor(start))
    whole = Labelled(
        tuple(one["label"] for one in examples for _ in range(orders)),
        tuple(one["sentence"] for one in examples for _ in range(orders)),
        None if arm == "text" else tuple(images),
    )
    right = np.zeros(len(examples))
    for fold in range(FOLDS):
        parts = _parts(sentence_of, fold)
        every = (orders * parts["train"][:, None] + np.arange(orders)).ravel()
        rows_of = {"train": every, "dev": orders * parts["dev"], "test": orders * parts["test"]}
        data = {name: whole.select(rows.tolist()) for name, rows in rows_of.items()}
        training = TrainingOptions(
            epochs=arguments.epochs / orders,
            batch_size=32,
            learning_rate=1e-4 if arm == "untrained" else 3e-4,
            validations_per_epoch=orders,
            seed=seed,
            ema_decay=0.99,
        )
        folder = out / f"{arm.replace(' ', '-')}-{seed}-{fold}-{arguments.epochs:g}"
        right[parts["test"]] = right_answers(str(start), data, folder, training)
    np.save(kept, right)
    return right


def _parts(sentence_of: NDArray[np.int64], fold: int) -> dict[str, NDArray[np.int64]]:
    """Rows to train on, to choose by and to judge; a sentence lies in one of them."""
    known = np.random.default_rng(0).permutation(np.unique(sentence_of))
    folds = np.array_split(known, FOLDS)
    rest = np.concatenate([one for place, one in enumerate(folds) if place != fold])
    few = len(rest) // 10
    chosen = {"test": folds[fold], "dev": rest[:few], "train": rest[few:]}
    return {name: np.flatnonzero(np.isin(sentence_of, members)) for name, members in chosen.items()}


def _majority(examples: Sequence[dict[str, Any]], sentence_of: NDArray[np.int64]) -> NDArray[np.floating]:
    """Of the label that most training examples have."""
    labels = np.array([one["label"] for one in examples])
    right = np.zeros(len(labels))
    for fold in range(FOLDS):
        parts = _parts(sentence_of, fold)
        names, counts = np.unique(labels[parts["train"]], return_counts=True)
        right[parts["test"]] = labels[parts["test"]] == names[counts.argmax()]
    return right


def _report(right: dict[str, NDArray[np.floating]], sentence_of: NDArray[np.int64]) -> None:
    """Of answers [seeds,n] of each arm."""
    print("\n| arm | accuracy | less the text alone | consistency |\n| --- | --- | --- | --- |")
    line: dict[str, Any] = {}
    for arm, values in right.items():
        mean = values.mean(axis=0)
        accuracy, gain = (
            [round(100 * one, 1) for one in interval(shown, sentence_of, draws=_DRAWS)]
            for shown in (mean, mean - right["text"].mean(axis=0))
        )
        whole = np.mean([values[:, sentence_of == one].min(axis=1) for one in np.unique(sentence_of)])
        line[arm] = {"accuracy": accuracy, "less_text": gain, "consistency": round(100 * float(whole), 1)}
        cells = [f"{one:.1f} [{low:.1f}, {high:.1f}]" for one, low, high in (accuracy, gain)]
        print(f"| {arm} | {cells[0]} | {'' if arm == 'text' else cells[1]} | {line[arm]['consistency']:.1f} |")
    print(json.dumps(line | {"n": len(sentence_of), "sentences": len(np.unique(sentence_of))}))


if __name__ == "__main__":
    main()
