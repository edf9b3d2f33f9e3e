"""What each part of the paper's recipe is worth at a small size: the same short training with one thing changed.

    python benchmarks/ablations.py --suite masking --regions runs/fashion/regions --out runs/ablations
    python benchmarks/ablations.py --suite matching --regions runs/fashion/regions --out runs/ablations
    python benchmarks/ablations.py --suite streams --regions runs/fashion/regions --out runs/ablations \\
        --composition runs/composition
    python benchmarks/ablations.py --suite single_modal --regions runs/fashion/regions --out runs/ablations \\
        --sst2 data/sst2 --grocery runs/grocery

    masking       segments against single tokens, as many predicted; regions by overlap, each on its own, none; their
                  classes against their features
    matching      hard, random and no negatives; no contrast; each masked objective left out
    streams       layers of each modality on top of the interaction (the paper's) against a single stream; with
                  --composition also group scores of unseen scenes that differ in who stands where (composition.py),
                  after the first lessons alone
    single_modal  texts alone (Stanford Sentiment) and images alone (43 classes of groceries) by models of both forms
                  that start from MiniLM, and texts by MiniLM itself

--regions holds the stores train, validation and test of fashion's products (fashion_retrieval.py), --grocery is the
folder of catalogue_retrieval.py. An arm of the first three is a small model (small_trunk.py) from a BERT of the
training titles: --steps steps of pretraining, 64 pairs each, judged as it is (zero-shot), and half as many of
fine-tuning for retrieval, judged again: reciprocal rank of the right image of each test title, among all test images by
the dual encoder, and among itself and 15 drawn ones, the same for all arms, by the joint pass. Every arm is compared
with the first of its suite, paired by title and seed. Intervals (95%) are of both: another sample of titles, and other
seeds; where that of the difference holds 0 the two are not told apart. Arms are kept one by one: the same command
continues. Writes SUITE.md and SUITE.svg (with matplotlib). --quick cuts everything to a trial of a minute an arm, which
is no result.
"""

from __future__ import annotations

import argparse
import json
import shutil
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal
from unittest.mock import patch

import composition
import numpy as np
import pyarrow.parquet as pq
from classifying import right_answers
from numpy.typing import NDArray
from scipy import stats
from small_trunk import model_options, text_training

from interbert.checkpoints.directory import load_model, load_processor
from interbert.data.masking import RegionMasking, SegmentMasking
from interbert.data.pairs import PairTable
from interbert.model.configuration import NO_MIXTURE
from interbert.model.processing import InterBertProcessor
from interbert.model.scoring import dual_matrix, score_pairs
from interbert.regions.store import RegionStore
from interbert.tasks.metrics import best_ranks
from interbert.tasks.retrieval import RetrievalSet, encode_images
from interbert.training import pretrain as pretraining
from interbert.training.classify import Labelled
from interbert.training.finetune import finetune_retrieval
from interbert.training.model_card import versions
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
from interbert.training.pretrain_text import pretrain_text

Values = NDArray[np.floating]
COLUMN = "productDisplayName"
BATCH, TUNED_BATCH, FEW = 64, 32, 16
_VOCABULARY = 4000
_LESSON_EPOCHS, _LESSONS = 100, 3000
"""Passes and steps of the small model at most: until places are told apart (results/composition.md)."""


@dataclass(frozen=True)
class Arm:
    """A recipe that differs in one thing from the first of its suite."""

    name: str
    text: Literal["segment", "token"] = "segment"
    regions: Literal["iou", "plain", "none"] = "iou"
    hard_share: float = 0.5
    contrast: bool = True
    lm_loss_weight: float = 1.0
    overrides: Mapping[str, Any] = field(default_factory=dict)

    @property
    def file(self) -> str:
        """Its name without signs."""
        return "".join(sign if sign.isalnum() else "-" for sign in self.name)


def _streams(interaction: int, own: int = 0) -> dict[str, Any]:
    """Layers of interaction, and on top of them each modality's own; without any it is a single stream."""
    return {"num_interaction_layers": interaction, "num_text_layers": own, "num_image_layers": own}


_TWO, _EQUAL, _SHORT = (
    "two streams on top",
    "single stream, as many parameters",
    "single stream, as many layers a token",
)
SUITES: dict[str, tuple[Arm, ...]] = {
    "masking": (
        Arm("as the paper: segments, overlapping regions, classes"),
        Arm("single tokens", text="token"),
        Arm("regions each on its own", regions="plain"),
        Arm("no region hidden", regions="none", overrides={"region_loss_weight": 0.0}),
        Arm("features of regions", overrides={"region_objective": "regress"}),
    ),
    "matching": (
        Arm("all objectives, hard negatives"),
        Arm("random negatives", hard_share=0.0),
        Arm("no matching", overrides={"matching_loss_weight": 0.0}),
        Arm("no contrast", contrast=False),
        Arm("no masked segments", lm_loss_weight=0.0),
        Arm("no masked regions", overrides={"region_loss_weight": 0.0}),
    ),
    "streams": (
        Arm(_TWO, overrides=_streams(3, 2)),
        Arm(_EQUAL, overrides=_streams(7)),
        Arm(_SHORT, overrides=_streams(5)),
    ),
    "single_modal": (
        Arm("the BERT alone"),
        Arm(_TWO, overrides=_streams(3, 3)),
        Arm(_SHORT, overrides=_streams(6)),
    ),
}


def main() -> None:
    arguments = _arguments()
    out = Path(arguments.out)
    out.mkdir(parents=True, exist_ok=True)
    run = _single_modal if arguments.suite == "single_modal" else _retrieval
    found = {}
    for arm in SUITES[arguments.suite]:
        runs = [_kept(arm, seed, arguments, out, run) for seed in range(arguments.seeds)]
        if arguments.suite == "streams" and arguments.composition:
            runs = [one | _kept(arm, seed, arguments, out, _composition, "places") for seed, one in enumerate(runs)]
        found[arm.name] = {name: np.stack([one[name] for one in runs]) for name in runs[0]}
    _report(found, arguments, out)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--suite", required=True, choices=SUITES)
    parser.add_argument("--regions", required=True, help="folder of the stores train, validation and test")
    parser.add_argument("--out", required=True, help="folder for results and, while an arm runs, its models")
    parser.add_argument("--sst2", type=Path, help="folder of train, dev and test.jsonl, for single_modal")
    parser.add_argument("--grocery", type=Path, help="folder of catalogue_retrieval.py, for single_modal")
    parser.add_argument("--composition", type=Path, help="folder of composition.py, for streams")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=600, help="of pretraining")
    parser.add_argument("--quick", action="store_true", help="a trial of everything, no result")
    arguments = parser.parse_args()
    if arguments.suite == "single_modal" and None in (arguments.sst2, arguments.grocery):
        parser.error("single_modal needs --sst2 and --grocery")
    if arguments.seeds < 2:
        parser.error("intervals over seeds need --seeds 2 or more")
    if arguments.quick:
        arguments.steps, arguments.seeds = 4, min(2, arguments.seeds)
    return arguments


Run = Callable[[Arm, int, argparse.Namespace, Path], dict[str, Values]]


def _kept(
    arm: Arm, seed: int, arguments: argparse.Namespace, out: Path, run: Run, suite: str | None = None
) -> dict[str, Values]:
    """What an arm gave, by what was measured; of a finished one as it was, whichever suite it was run for."""

    def file_of(suite: str, arm: Arm) -> Path:
        return out / f"{suite}-{arm.file}-{seed}-{arguments.steps}{'-quick' if arguments.quick else ''}.npz"

    suite = suite or arguments.suite
    same = [file_of(other, one) for other in ("masking", "matching") for one in SUITES[other] if _same(one, arm)]
    file = next((one for one in same if suite in ("masking", "matching") and one.exists()), file_of(suite, arm))
    folder = file.with_suffix("")
    if not file.exists():
        started = time.monotonic()
        values = run(arm, seed, arguments, folder)
        with file.with_suffix(".part").open("wb") as part:
            np.savez(part, **values)  # type: ignore[arg-type]  # its stubs know no names
        file.with_suffix(".part").replace(file)
        shutil.rmtree(folder, ignore_errors=True)
        print(f"{arm.name}, seed {seed}: {time.monotonic() - started:.0f} s", flush=True)
    with np.load(file) as opened:
        return {one: opened[one] for one in opened.files}


def _same(one: Arm, other: Arm) -> bool:
    """Whether two arms differ in their names alone."""
    return replace(one, name=other.name) == other


def _retrieval(arm: Arm, seed: int, arguments: argparse.Namespace, folder: Path) -> dict[str, Values]:
    values = _judged(_small(arm, seed, arguments, folder), arguments, "zero-shot")
    finetune_retrieval(
        FinetuneRetrievalOptions(
            model=str(folder / "pretrained"),
            regions=f"{arguments.regions}/train",
            validation=f"{arguments.regions}/validation",
            validation_limit=200,
            out=str(folder / "retrieval"),
            text_columns=[COLUMN],
            contrastive_loss_weight=float(arm.contrast),
            negatives=FinetuneNegativeOptions(
                mine="neighbours", hard_share=arm.hard_share, random_epochs=0.02, rise_epochs=0.02
            ),
            training=TrainingOptions(
                max_steps=max(2, arguments.steps // 2),
                batch_size=TUNED_BATCH,
                learning_rate=3e-4,
                ema_decay=0.98,
                seed=seed,
            ),
        )
    )
    return values | _judged(folder / "retrieval", arguments, "fine-tuned")


def _small(arm: Arm, seed: int, arguments: argparse.Namespace, folder: Path) -> Path:
    """A small model's pretraining from a BERT of the titles, which arms of as many layers share."""
    model = model_options(384 if arm.contrast else None)
    overrides = {**model.config_overrides, "region_loss_weight": 1.0, **arm.overrides}
    text = folder.parent / f"text-{_text_layers(overrides)}-{seed}"
    titles = folder.parent / "titles.txt"
    known = PairTable.from_captions(RegionStore.open(f"{arguments.regions}/train").captions(), [COLUMN])
    titles.write_text("\n".join(known.texts) + "\n", encoding="utf-8")
    pretrain_text(
        text_training(titles, text, seed, layers=_text_layers(overrides), vocabulary_size=_VOCABULARY, wide=True)
    )
    model = replace(
        model,
        dropout=0.1,
        region_dropout=0.2,
        lm_loss_weight=arm.lm_loss_weight,
        config_overrides=overrides,  # type: ignore[arg-type]
    )
    training = TrainingOptions(
        max_steps=arguments.steps, batch_size=BATCH, learning_rate=1e-3, ema_decay=0.98, seed=seed
    )
    _pretrain(arm, arguments, folder, known, str(text), model, training, WarmStartOptions(head_epochs=0, epochs=0))
    return folder / "pretrained"


def _text_layers(overrides: Mapping[str, Any]) -> int:
    return int(overrides["num_interaction_layers"] + overrides["num_text_layers"])


def _mini(arm: Arm, seed: int, arguments: argparse.Namespace, folder: Path) -> Path:
    """A pretraining from MiniLM."""
    known = PairTable.from_captions(RegionStore.open(f"{arguments.regions}/train").captions(), [COLUMN])
    model = ModelOptions(contrastive_size=384, region_dropout=0.2, config_overrides=dict(arm.overrides))  # type: ignore[arg-type]
    training = TrainingOptions(
        max_steps=arguments.steps,
        batch_size=BATCH,
        learning_rate=1e-4,
        bert_learning_rate_scale=0.3,
        ema_decay=0.98,
        seed=seed,
    )
    start = WarmStartOptions(head_epochs=1 if arguments.quick else 8, epochs=0)
    _pretrain(arm, arguments, folder, known, "minilm", model, training, start)
    return folder / "pretrained"


def _pretrain(
    arm: Arm,
    arguments: argparse.Namespace,
    folder: Path,
    known: PairTable,
    text: str,
    model: ModelOptions,
    training: TrainingOptions,
    warm_start: WarmStartOptions,
) -> None:
    options = PretrainOptions(
        regions=f"{arguments.regions}/train",
        validation=f"{arguments.regions}/validation",
        validation_limit=200,
        out=str(folder / "pretrained"),
        text_columns=[COLUMN],
        init_from=text,
        warm_start=warm_start,
        model=model,
        masking=MaskingOptions(text=arm.text, text_max_share=_share(known) if arm.text == "segment" else 0.5),
        negatives=NegativeOptions(hard_share=arm.hard_share, random_epochs=0.1, rise_epochs=0.1),
        training=training,
    )
    hiding = partial(RegionMasking, anchor_probability=0.0) if arm.regions == "none" else RegionMasking
    mode = "iou" if arm.regions == "none" else arm.regions
    with patch.object(pretraining, "RegionMasking", lambda _: hiding(mode)):
        pretraining.pretrain(options)


def _composition(arm: Arm, seed: int, arguments: argparse.Namespace, folder: Path) -> dict[str, Values]:
    """Whether each unseen scene of places is right, after captions that name one object and its place."""
    made: Path = arguments.composition
    steps = 4 if arguments.quick else _LESSONS
    layers = _text_layers(arm.overrides)
    pretrain_text(text_training(made / "where.parquet", folder / "text", seed, trained=False, layers=layers))
    model = model_options(contrastive_size=None)
    lessons = composition.pretraining(
        made / "regions" / "where", folder / "text", folder / "lessons", "caption", seed, epochs=_LESSON_EPOCHS
    )
    pretraining.pretrain(
        replace(
            lessons,
            model=replace(model, config_overrides={**model.config_overrides, **arm.overrides}),  # type: ignore[typeddict-item]
            training=replace(lessons.training, max_steps=steps),
        )
    )
    ways, right = composition.judged_scenes(
        folder / "lessons", made / "unseen_two.parquet", made / "regions" / "unseen_two", "caption"
    )
    return {"places, joint pass": right["joint"]["group"][ways == "place"].astype(float)}


def _share(known: PairTable) -> float:
    """The longest segment's share at which segments hide as many tokens as single ones: 15%."""
    lengths = [len(text.split()) + 3 for text in known.texts[:500]]
    generator = np.random.default_rng(0)

    def hidden(share: float) -> float:
        masking = SegmentMasking(max_share=share)
        return sum(int(masking.choose(n, generator).sum()) for n in lengths) / sum(lengths)

    shares = np.linspace(0.15, 1.0, 18)
    return float(shares[int(np.argmin([abs(hidden(share) - SegmentMasking.token_probability) for share in shares]))])


def _judged(directory: Path, arguments: argparse.Namespace, when: str) -> dict[str, Values]:
    """Reciprocal ranks of every test title."""
    model, processor = load_model(directory, **NO_MIXTURE), load_processor(directory)
    store = RegionStore.open(f"{arguments.regions}/test")
    data = RetrievalSet.from_table(PairTable.from_captions(store.captions(), [COLUMN]), 60 if arguments.quick else None)
    texts, images = data.encode(store, processor)
    values: dict[str, Values] = {}
    if model.config.contrastive_size is not None:
        cosines = dual_matrix(model, texts, images)
        values[f"{when}, dual encoder"] = 1.0 / best_ranks(cosines, data.relevant)
    # drawn, not found: whatever the dual encoder is, all arms' joint passes read the same
    draws = np.random.default_rng(0).random(data.relevant.shape)
    chosen = np.argsort(np.where(data.relevant, 2.0, draws), axis=1)[:, -FEW:]
    joint = score_pairs(model, texts, images, chosen)
    values[f"{when}, joint pass"] = 1.0 / best_ranks(joint, np.take_along_axis(data.relevant, chosen, axis=1))
    return values


def _single_modal(arm: Arm, seed: int, arguments: argparse.Namespace, folder: Path) -> dict[str, Values]:
    """Whether each test sentence and photograph is classified rightly."""
    is_bert = arm.name == SUITES["single_modal"][0].name
    model = "minilm" if is_bert else str(_mini(arm, seed, arguments, folder))
    texts = {split: _sentences(arguments.sst2 / f"{split}.jsonl", arguments) for split in ("train", "dev", "test")}
    training = TrainingOptions(
        max_steps=2 if arguments.quick else 200, batch_size=32, learning_rate=5e-5, seed=seed, ema_decay=0.98
    )
    values = {"sentences": right_answers(model, texts, folder / "texts", training)}
    if not is_bert:
        processor = load_processor(model)
        images = {
            split: _photographs(arguments.grocery, name, processor)
            for split, name in (("train", "train"), ("dev", "validation"), ("test", "test"))
        }
        values["photographs"] = right_answers(model, images, folder / "images", training)
    return values


def _sentences(file: Path, arguments: argparse.Namespace) -> Labelled:
    rows = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
    rows = rows[:64] if arguments.quick else rows
    return Labelled(tuple(str(row["label"]) for row in rows), tuple(row["sentence"] for row in rows))


def _photographs(folder: Path, split: str, processor: InterBertProcessor) -> Labelled:
    """By coarse class; the store's windows are of the same network."""
    labels = pq.read_table(folder / f"{split}.parquet", columns=["id", "coarse_class"]).to_pylist()
    store = RegionStore.open(str(folder / "regions" / split))
    rows: dict[str, int] = {}
    for row in store.captions():
        rows.setdefault(row.image_id, row.row)
    images = encode_images(store, [rows[one["id"]] for one in labels], processor)
    return Labelled(tuple(one["coarse_class"] for one in labels), images=tuple(images))


def _report(found: Mapping[str, Mapping[str, Values]], arguments: argparse.Namespace, out: Path) -> None:
    """One table and one plot: means in per cent, and differences from the first arm that has the same measure."""
    measures = list(dict.fromkeys(name for values in found.values() for name in values))
    lines = [
        f"# {arguments.suite}: {'A TRIAL, NO RESULT. ' if arguments.quick else ''}per cent [95%], less the first arm"
    ]
    lines += ["", f"| arm | {' | '.join(measures)} |", f"|{' --- |' * (len(measures) + 1)}"]
    differences: dict[str, dict[str, tuple[float, float, float]]] = {name: {} for name in measures}
    for arm, values in found.items():
        cells = []
        for name in measures:
            first = next(other for other in found.values() if name in other)
            if name not in values:
                cells.append("")
                continue
            value, low, high = _interval(values[name])
            cell = f"{value:.1f} [{low:.1f}, {high:.1f}]"
            if values is not first:
                gain = _interval(values[name] - first[name])
                differences[name][arm] = gain
                told = "" if gain[1] > 0 or gain[2] < 0 else ", not told apart"
                cell += f"; {gain[0]:+.1f} [{gain[1]:+.1f}, {gain[2]:+.1f}]{told}"
            cells.append(cell)
        lines.append(f"| {arm} | {' | '.join(cells)} |")
    provenance = {"steps": arguments.steps, "seeds": arguments.seeds, "versions": versions()}
    lines += ["", f"`{json.dumps(provenance)}`", ""]
    name = f"{arguments.suite}{'-quick' if arguments.quick else ''}"
    (out / f"{name}.md").write_text("\n".join(lines), encoding="utf-8")
    _plot(differences, arguments.suite, out / f"{name}.svg")
    print("\n".join(lines))


def _interval(values: Values) -> tuple[float, float, float]:
    """Mean of values [seeds,n] in per cent, and its 95% interval over other seeds and other cases.

    Both variances are added, which counts the noise of single cases twice: wider than needed rather than too narrow.
    Degrees of freedom are Welch's and Satterthwaite's.
    """
    seeds, cases = values.shape
    parts = np.array([values.mean(axis=1).var(ddof=1) / seeds, values.mean(axis=0).var(ddof=1) / cases])
    whole = max(float(parts.sum()), 1e-30)
    freedom = whole**2 / max(float((parts**2 / [seeds - 1, cases - 1]).sum()), 1e-30)
    mean, half = float(values.mean()), float(stats.t.ppf(0.975, freedom) * np.sqrt(whole))
    return 100 * mean, 100 * (mean - half), 100 * (mean + half)


def _plot(differences: Mapping[str, Mapping[str, tuple[float, float, float]]], suite: str, file: Path) -> None:
    try:
        from matplotlib.figure import Figure  # type: ignore[import-not-found]
    except ImportError:
        print(f"{file.name}: not drawn; pip install matplotlib, and run this again")
        return
    shown = {name: arms for name, arms in differences.items() if arms}
    figure = Figure(figsize=(3.2 * max(1, len(shown)) + 2.5, 0.45 * max(map(len, shown.values()), default=1) + 1.4))
    axes = figure.subplots(1, max(1, len(shown)), sharey=True, squeeze=False)[0]
    for axis, (name, arms) in zip(axes, shown.items(), strict=False):
        values = np.array(list(arms.values()))
        errors = np.abs(values[:, 1:] - values[:, :1]).T
        axis.errorbar(values[:, 0], list(arms), xerr=errors, fmt="o", capsize=3)
        axis.axvline(0, color="grey", linewidth=1)
        axis.set_title(name, fontsize=9)
    figure.suptitle(f"{suite}: points less the first arm", fontsize=10)
    figure.tight_layout()
    figure.savefig(file)


if __name__ == "__main__":
    main()
