"""Whether a model reads who has which attribute and who stands where: scenes in which only that tells captions apart.

    python benchmarks/composition.py --out runs/composition [--language en|zh] [--scenes 12000] [--minutes 60]

Every scene is two images and two captions with the same words, or nearly (composition_scenes.py). A model is trained on
scenes of 2 to 4 objects by ``interbert``'s own stages, from features that extraction finds at the objects' boxes on the
drawn pixels, and judged as Winoground judges: *text* (for each image its own caption scores higher), *image* (for each
caption its own image scores higher) and *group* (both); ties count against the model, chance is 1/6 for group and 1/4
for the others. Resumable: the same command continues. With --minutes, fine-tuning is as long as a trial of a few steps
says that the rest of the time allows, drawing, extraction, pretraining and judging included.

The last line is JSON: ``joint``, ``dual`` and ``joint_shuffled`` (every image's regions replaced by the mean image's)
are group scores on unseen combinations of two objects, ``chance`` is 1/6, ``n`` the number of scenes.
"""

from __future__ import annotations

import argparse
import json
import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from composition_scenes import TRAINED_WAYS, WAYS, Scene, draw_scenes, render
from numpy.typing import NDArray
from small_trunk import WIDTH, model_options, text_training

from interbert.checkpoints.directory import load_model, load_pretraining_model, load_processor
from interbert.extraction.columns import ColumnMapping
from interbert.extraction.extract import extract_to_store
from interbert.extraction.given import GivenExtractor
from interbert.extraction.grid import GridExtractor, GridSettings
from interbert.extraction.sources import open_source
from interbert.model.configuration import NO_MIXTURE
from interbert.model.processing import pad_texts
from interbert.model.region_inputs import pad_images
from interbert.model.scoring import encode_all, inference, score_listed_pairs
from interbert.regions.schema import CaptionRow
from interbert.regions.store import RegionStore
from interbert.tasks.evaluation import mean_images
from interbert.tasks.retrieval import encode_images
from interbert.training.finetune import finetune_retrieval
from interbert.training.options import (
    FinetuneNegativeOptions,
    FinetuneRetrievalOptions,
    MaskingOptions,
    ModelOptions,
    NegativeOptions,
    PretrainOptions,
    TrainingOptions,
    WarmStartOptions,
)
from interbert.training.pretrain import pretrain
from interbert.training.pretrain_text import pretrain_text
from interbert.utils.stored_names import RegionArrays

Float32 = NDArray[np.float32]
CHANCE = 1 / 6
TRAINED_OBJECTS = (2, 3, 4)
LESSONS = ("where", "where_validation", "whose", "train")
"""Splits to train on, or to see whether they were learnt."""
_FIRST_EPOCHS = 64.0
"""Passes of the first lessons: nothing is told apart for 1,000 to 2,000 steps, and then everything in as many more."""
_ROUNDS, _LEARNT = 3, 0.7
"""The first lessons are given again until so many hidden places of held-out scenes are guessed, at most so often: in a
Chinese caption more words follow from the others, so of as many hidden words fewer are places."""
PLACES = {"en": ("left", "right", "above", "below"), "zh": tuple("左右上下")}
"""Tokens."""
_CONTRAST = 0.1
"""Weight of the contrast: with 1 matching stayed at chance for thousands of steps (results/composition.md)."""
_BATCH = 32
_TRIAL = 40
"""Steps that tell how long a step takes."""
_JUDGING = 0.1
"""Share of --minutes for judging and what else is not training."""


@dataclass(frozen=True)
class Split:
    """Scenes to train on or to judge by."""

    name: str
    seed: int
    combinations: str
    number: int
    objects: tuple[int, ...]
    ways: tuple[str, ...] = WAYS


def splits(scenes: int) -> list[Split]:
    """All splits; ``scenes`` to train on."""
    return [
        # captions that name one object alone: the first lessons, without which colours and places are not learnt
        Split("where", 6, "seen", scenes // 6, (1, 1, 2, 3), ("where",)),
        Split("where_validation", 8, "seen", 200, (1, 1, 2, 3), ("where",)),
        Split("whose", 7, "seen", scenes // 6, (2, 2, 3), ("whose",)),
        Split("train", 0, "seen", scenes, (2, 2, 2, 2, 3, 4), TRAINED_WAYS),
        Split("validation", 1, "seen", 200, TRAINED_OBJECTS),
        Split("unseen_two", 2, "unseen", 500, (2,)),
        Split("unseen", 3, "unseen", 500, TRAINED_OBJECTS),
        Split("five_objects", 4, "seen", 300, (5,)),
        Split("unseen_kinds", 5, "kinds", 300, (2,)),
    ]


def main() -> None:
    arguments = _arguments()
    out = Path(arguments.out)
    out.mkdir(parents=True, exist_ok=True)
    started = time.monotonic()
    stores = {}
    for split in splits(arguments.scenes):
        stores[split.name] = _extracted(split, out, arguments.seed)
    print(f"drawn and extracted in {time.monotonic() - started:.0f} s", flush=True)
    column = "caption" if arguments.language == "en" else "caption_zh"
    text, pretrained, model = (out / f"{stage}-{arguments.language}" for stage in ("text", "pretrained", "model"))
    texts = text_training(out / "train.parquet", text, arguments.seed, out / "validation.parquet", trained=False)
    pretrain_text(replace(texts, text_columns=[column]))
    first = _first_lessons(stores, text, out, column, arguments)
    print(f"first lessons after {time.monotonic() - started:.0f} s", flush=True)
    both = {str(stores[name]): 1.0 for name in ("where", "whose")}
    whole = pretraining(stores["train"], first, pretrained, column, arguments.seed, epochs=arguments.pretrain_epochs)
    pretrain(replace(whole, more_regions=both, validation=str(stores["validation"]), model=ModelOptions()))
    print(f"pretrained after {time.monotonic() - started:.0f} s", flush=True)
    epochs = arguments.finetune_epochs
    if arguments.minutes is not None:
        epochs = _epochs_left(stores, pretrained, column, arguments, started)
        print(f"fine-tuning for {epochs:.2f} passes", flush=True)
    finetune_retrieval(_finetuning(stores, pretrained, model, column, arguments, epochs=epochs))
    print(f"fine-tuned after {time.monotonic() - started:.0f} s", flush=True)
    results = {}
    for split in splits(arguments.scenes):
        if split.name in LESSONS:
            continue
        results[split.name] = judge(model, out / f"{split.name}.parquet", stores[split.name], column)
        print(table(split.name, results[split.name]), flush=True)
    (out / f"scores-{arguments.language}.json").write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")
    two = results["unseen_two"]["all"]
    line = {name: round(two[name]["group"], 4) for name in ("joint", "dual", "joint_shuffled")}
    print(json.dumps(line | {"chance": round(CHANCE, 4), "n": two["n"]}))


def pretraining(store: Path, start: Path, out: Path, column: str, seed: int, epochs: float) -> PretrainOptions:
    """Masked words beside matching with random images, of one store of scenes."""
    return PretrainOptions(
        regions=str(store),
        out=str(out),
        text_columns=[column],
        init_from=str(start),
        # what is learnt here is which word means which region: masked words of true pairs teach it
        warm_start=WarmStartOptions(head_epochs=0, epochs=0),
        model=model_options(WIDTH, contrastive_loss_weight=_CONTRAST),
        masking=MaskingOptions(text="token", token_share=0.3),
        mismatched_share=0.25,
        # random ones: with partners from the first step matching stays at chance
        negatives=NegativeOptions(hard_share=0.0, near_same=None),
        training=TrainingOptions(epochs=epochs, batch_size=64, learning_rate=1e-3, ema_decay=0.998, seed=seed),
    )


def _first_lessons(stores: dict[str, Path], text: Path, out: Path, column: str, arguments: argparse.Namespace) -> Path:
    """The model that has learnt what stands where."""
    taught = text
    for number in range(_ROUNDS):
        start, taught = taught, out / f"first-{arguments.language}{f'-{number + 1}' if number else ''}"
        lessons = pretraining(stores["where"], start, taught, column, arguments.seed + number, epochs=_FIRST_EPOCHS)
        pretrain(replace(lessons, model=ModelOptions()) if number else lessons)
        guessed = places_guessed(taught, stores["where_validation"], column, PLACES[arguments.language])
        print(f"first lessons, round {number + 1}: {guessed:.2f} of hidden places guessed", flush=True)
        if guessed >= _LEARNT:
            break
    return taught


def places_guessed(directory: Path, store_path: Path, column: str, places: Sequence[str]) -> float:
    """Share of captions whose place, hidden, is guessed first of all words; 0.5 where the axis alone is known."""
    model, processor = load_pretraining_model(directory), load_processor(directory)
    store = RegionStore.open(str(store_path))
    rows = list(store.captions())
    ids = processor.texts_to_ids([captions_of(row)[column] for row in rows])
    batch = pad_texts(ids, processor.pad_token_id)
    batch |= pad_images(encode_images(store, [row.row for row in rows], processor))
    known = torch.tensor(processor.tokenizer.convert_tokens_to_ids(list(places)))
    hidden = torch.isin(batch["input_ids"], known)
    if not (hidden.sum(dim=1) == 1).all():
        raise ValueError(f"{store_path}: a caption names no place, or several")
    truth = batch["input_ids"][hidden]
    batch["input_ids"][hidden] = processor.tokenizer.mask_token_id
    with inference(model, bf16=False):
        guesses = model(**batch).lm_logits[hidden].argmax(dim=-1)
    return float((guesses == truth).double().mean())


def captions_of(row: CaptionRow) -> dict[str, str]:
    """By column."""
    return dict(zip(row.text_fields, row.texts, strict=True))


def _epochs_left(
    stores: dict[str, Path], pretrained: Path, column: str, arguments: argparse.Namespace, started: float
) -> float:
    """Passes of fine-tuning that the rest of --minutes allows; what was decided once stays."""
    out = Path(arguments.out)
    kept = out / f"passes-{arguments.language}.json"
    if not kept.exists():
        trial = out / f"trial-{arguments.language}"
        finetune_retrieval(_finetuning(stores, pretrained, trial, column, arguments, epochs=1.0, max_steps=_TRIAL))
        lines = [json.loads(line) for line in (trial / "log_history.jsonl").read_text(encoding="utf-8").splitlines()]
        steps = [(line["step"], line["seconds"]) for line in lines if "loss" in line]
        (first, begun), (last, ended) = steps[0], steps[-1]
        left = 60 * arguments.minutes * (1 - _JUDGING) - (time.monotonic() - started)
        pairs = len(RegionStore.open(str(stores["train"])))
        epochs = max(0.1, left / ((ended - begun) / (last - first)) * _BATCH / pairs)
        shutil.rmtree(trial)
        kept.write_text(json.dumps(round(epochs, 2)) + "\n", encoding="utf-8")
    return float(json.loads(kept.read_text(encoding="utf-8")))


def _finetuning(
    stores: dict[str, Path],
    model: Path,
    out: Path,
    column: str,
    arguments: argparse.Namespace,
    epochs: float,
    max_steps: int = -1,
) -> FinetuneRetrievalOptions:
    return FinetuneRetrievalOptions(
        model=str(model),
        regions=str(stores["train"]),
        validation=str(stores["validation"]),
        out=str(out),
        text_columns=[column],
        qrels=str(out.parent / f"train-{arguments.language}.tsv"),
        contrastive_loss_weight=_CONTRAST,
        negatives=FinetuneNegativeOptions(
            mine="judged", hard_share=0.9, random_epochs=0.1, rise_epochs=0.2, near_same=None
        ),
        training=TrainingOptions(
            epochs=epochs,
            max_steps=max_steps,
            log_steps=_TRIAL // 4,
            batch_size=_BATCH,
            learning_rate=arguments.learning_rate,
            ema_decay=0.999,
            seed=arguments.seed,
        ),
    )


def judge(directory: Path, scenes: Path, store_path: Path, column: str) -> dict[str, Any]:
    """Text, image and group scores of a split, of all scenes and by what differs, of each scorer."""
    ways, right = judged_scenes(directory, scenes, store_path, column)
    results: dict[str, Any] = {}
    for way in ("all", *WAYS):
        chosen = np.ones(len(ways), dtype=bool) if way == "all" else ways == way
        if chosen.any():
            results[way] = {"n": int(chosen.sum())} | {
                name: {kind: float(one[chosen].mean()) for kind, one in kinds.items()} for name, kinds in right.items()
            }
    return results


def judged_scenes(
    directory: Path, scenes: Path, store_path: Path, column: str
) -> tuple[NDArray[np.str_], dict[str, dict[str, NDArray[np.bool_]]]]:
    """What differs in each scene, and of each scorer whether each scene is right."""
    model, processor = load_model(directory, **NO_MIXTURE), load_processor(directory)
    store = RegionStore.open(str(store_path))
    rows_of = {row.image_id: (row.row, captions_of(row)) for row in store.captions()}
    table = pq.read_table(scenes, columns=["id", "way"]).to_pylist()
    found = [rows_of[one["id"]] for one in table]
    ids = processor.texts_to_ids([captions[column] for _, captions in found])
    images = encode_images(store, [row for row, _ in found], processor)
    scorers: dict[str, Callable[[], Float32]] = {
        "joint": lambda: _joint(model, ids, images),
        "dual": lambda: _dual(model, ids, images),
        "joint_shuffled": lambda: _joint(model, ids, mean_images(images)),
    }
    if model.config.contrastive_size is None:
        del scorers["dual"]
    right = {name: winoground(scorer()) for name, scorer in scorers.items()}
    return np.array([one["way"] for one in table[::2]]), right


def winoground(scores: Float32) -> dict[str, NDArray[np.bool_]]:
    """Whether each scene is right; ties are wrong.

    Args:
        scores: [scenes, 2, 2], of caption c with image i at [scene, c, i].
    """
    text = (scores[:, 0, 0] > scores[:, 1, 0]) & (scores[:, 1, 1] > scores[:, 0, 1])
    image = (scores[:, 0, 0] > scores[:, 0, 1]) & (scores[:, 1, 1] > scores[:, 1, 0])
    return {"text": text, "image": image, "group": text & image}


def _joint(model: Any, ids: Sequence[Sequence[int]], images: Sequence[RegionArrays]) -> Float32:
    """[scenes, 2, 2] joint scores; scene s has texts and images 2s and 2s + 1."""
    scenes = np.arange(len(ids)) // 2
    text_of = np.repeat(np.arange(len(ids)), 2)
    image_of = (2 * scenes[:, None] + np.arange(2)).reshape(-1)
    return score_listed_pairs(model, ids, images, text_of, image_of).reshape(-1, 2, 2)


def _dual(model: Any, ids: Sequence[Sequence[int]], images: Sequence[RegionArrays]) -> Float32:
    texts, vectors = (side.reshape(len(ids) // 2, 2, -1) for side in encode_all(model, ids, images))
    scores: Float32 = np.einsum("scd,sid->sci", texts, vectors)
    return scores


def table(name: str, results: dict[str, Any]) -> str:
    """Group scores of a split in per cent, by what differs."""
    lines = [f"{name}: group score by what differs (text, image, group)"]
    for way, found in results.items():
        cells = [
            f"{who} " + " ".join(f"{100 * value:5.1f}" for value in found[who].values()) for who in found if who != "n"
        ]
        lines.append(f"  {way:<8} n {found['n']:<4} " + "   ".join(cells))
    return "\n".join(lines)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", required=True, help="folder for scenes, regions, models and scores")
    parser.add_argument("--scenes", type=int, default=12000, help="to train on, two images each")
    parser.add_argument("--language", choices=("en", "zh"), default="en")
    parser.add_argument("--pretrain-epochs", type=float, default=12.0)
    parser.add_argument("--finetune-epochs", type=float, default=4.0)
    parser.add_argument("--minutes", type=float, help="for everything; sets the passes of fine-tuning")
    parser.add_argument("--learning-rate", type=float, default=5e-4)
    parser.add_argument("--seed", type=int, default=0)
    return parser.parse_args()


def _scenes_of(split: Split, seed: int) -> list[Scene]:
    # validation's draws are others than training's, of the same combinations
    return draw_scenes(split.combinations, split.number, split.objects, 10 * seed + split.seed, split.ways)


def _extracted(split: Split, out: Path, seed: int) -> Path:
    """Region store of a split."""
    file, store = out / f"{split.name}.parquet", out / "regions" / split.name
    if not file.is_file():
        scenes = _scenes_of(split, seed)
        rows: dict[str, list[Any]] = {"image": [], "id": [], "way": [], "caption": [], "caption_zh": [], "boxes": []}
        rows["objects"] = []
        for place, scene in enumerate(scenes):
            for side in (0, 1):
                rows["image"].append(render(scene.images[side]))
                rows["id"].append(f"{split.name}-{place}-{side}")
                rows["way"].append(scene.way)
                rows["objects"].append(scene.objects)
                rows["caption"].append(scene.captions[side])
                rows["caption_zh"].append(scene.captions_zh[side])
                rows["boxes"].append(json.dumps([thing.box for thing in scene.images[side]]))
        pq.write_table(pa.table(rows), file)
        for language, captions in (("en", rows["caption"]), ("zh", rows["caption_zh"])):
            judged = [
                (one, rows["id"][place ^ wrong], 1 - wrong) for place, one in enumerate(captions) for wrong in (0, 1)
            ]
            lines = ["query\tproduct_id\tgrade", *("\t".join(map(str, one)) for one in judged)]
            (out / f"{split.name}-{language}.tsv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    mapping = ColumnMapping("image", ("caption", "caption_zh"), "id", None, "boxes", "xyxy")
    extractor = GivenExtractor(GridExtractor(GridSettings()))
    extract_to_store(open_source(str(file), mapping), str(store), extractor)
    return store


if __name__ == "__main__":
    main()
