"""Text-to-image retrieval on a fashion catalogue: a taught backbone, extraction, training, exact ranking.

    python benchmarks/fashion_retrieval.py --train train.parquet --validation validation.parquet \\
        --test test.parquet --out runs/fashion [--language en|zh] [--checkpoint MODEL]

The files have the columns of the public data set ashraq/fashion-product-images-small (image, id, productDisplayName)
and title_zh. The backbone learns from the English titles and the other columns of train and is judged by validation;
pretraining sees the titles of both languages; fine-tuning and ranking use --language. --checkpoint starts fine-tuning
from a pretrained model directory, whose extractor is used. Everything is resumable: the same command continues. The
joint pass reads the dual encoder's 50 best images of a text, which is as good as all (results/cascade.md). The last
line is JSON: r@1, r@5, r@10 (per cent), median_rank and n as the finished model ranks, and what joint_gain.py says of
dual encoder and joint pass: dual_r@1, fused_minus_dual with its paired interval, joint_of_16 and dual_of_16.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from dataclasses import asdict
from pathlib import Path

import joint_gain
import numpy as np

from interbert.adaptation.backbone import finetune_backbone
from interbert.adaptation.options import BackboneOptions
from interbert.checkpoints.directory import load_model, load_processor
from interbert.data.pairs import PairTable
from interbert.extraction.columns import ColumnMapping
from interbert.extraction.extract import extract_to_store
from interbert.extraction.extractor import RegionExtractor, build_extractor
from interbert.extraction.grid import GridExtractor, GridSettings
from interbert.extraction.sources import open_source
from interbert.model.configuration import NO_MIXTURE
from interbert.model.scoring import dual_matrix
from interbert.regions.store import RegionStore
from interbert.tasks.evaluation import shuffled_images
from interbert.tasks.metrics import best_ranks, estimates
from interbert.tasks.retrieval import RetrievalSet
from interbert.training.finetune import finetune_retrieval
from interbert.training.model_card import versions
from interbert.training.options import (
    FinetuneNegativeOptions,
    FinetuneRetrievalOptions,
    ModelOptions,
    NegativeOptions,
    PretrainOptions,
    TrainingOptions,
)
from interbert.training.pretrain import pretrain

BACKBONE_PIXELS = 192
COLUMNS = {"en": "productDisplayName", "zh": "title_zh"}


def main() -> None:
    arguments = _arguments()
    out = Path(arguments.out)
    out.mkdir(parents=True, exist_ok=True)
    seconds: dict[str, float] = {}

    started = time.monotonic()
    if arguments.checkpoint is None and arguments.backbone_epochs:
        finetune_backbone(_teaching(arguments, out))
    seconds["backbone"] = time.monotonic() - started

    started = time.monotonic()
    stores = _extract(arguments, out)
    seconds["extraction"] = time.monotonic() - started

    started = time.monotonic()
    pretrained = arguments.checkpoint or str(out / "pretrained")
    if arguments.checkpoint is None:
        pretrain(_pretraining(stores, pretrained, arguments))
    seconds["pretraining"] = time.monotonic() - started

    started = time.monotonic()
    model = str(out / f"retrieval-{arguments.language}")
    column = COLUMNS[arguments.language]
    finetune_retrieval(_finetuning(stores, pretrained, model, column, arguments))
    seconds["fine-tuning"] = time.monotonic() - started

    _rank(arguments, stores, model, column, out, seconds)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for split in ("train", "validation", "test"):
        parser.add_argument(f"--{split}", required=True, help="parquet file")
    parser.add_argument("--out", required=True, help="folder for regions, models and metrics")
    parser.add_argument("--language", choices=sorted(COLUMNS), default="en")
    parser.add_argument("--checkpoint", help="pretrained model directory to fine-tune instead of pretraining")
    parser.add_argument("--backbone-epochs", type=int, default=6, help="0 takes ImageNet's backbone as it is")
    parser.add_argument(
        "--column-loss-weight", type=float, default=0.3, help="of the backbone; 0 leaves columns unread"
    )
    parser.add_argument("--pretrain-epochs", type=float, default=1.0, help="passes over the titles of both languages")
    parser.add_argument("--finetune-epochs", type=float, default=1.0)
    parser.add_argument("--seed", type=int, default=0, help="of pretraining and fine-tuning")
    return parser.parse_args()


def _teaching(arguments: argparse.Namespace, out: Path) -> BackboneOptions:
    return BackboneOptions(
        source=arguments.train,
        out=str(out / "backbone"),
        text_columns=[COLUMNS["en"]],
        validation=arguments.validation,
        input_size=BACKBONE_PIXELS,
        epochs=arguments.backbone_epochs,
        column_loss_weight=arguments.column_loss_weight,
    )


def _extract(arguments: argparse.Namespace, out: Path) -> dict[str, str]:
    if arguments.checkpoint:
        processor = load_processor(arguments.checkpoint)
        extractor: RegionExtractor = build_extractor(processor.extractor_info, processor.extractor_folder)
    elif arguments.backbone_epochs:
        settings = GridSettings(backbone=str(out / "backbone"), input_size=BACKBONE_PIXELS, scales=(1, 2))
        extractor = GridExtractor(settings)
    else:
        extractor = GridExtractor(GridSettings(scales=(1, 2)))
    stores = {}
    for split in ("train", "validation", "test"):
        file = getattr(arguments, split)
        source = open_source(file, ColumnMapping("image", tuple(COLUMNS.values()), None, "id"))
        stores[split] = str(out / "regions" / split)
        report = extract_to_store(source, stores[split], extractor, mirrored=split == "train")
        print(f"{split}: {report.written} rows written, {report.already} were there, {report.skipped} skipped")
    return stores


def _pretraining(stores: dict[str, str], out: str, arguments: argparse.Namespace) -> PretrainOptions:
    return PretrainOptions(
        regions=stores["train"],
        validation=stores["validation"],
        out=out,
        text_columns=list(COLUMNS.values()),
        model=ModelOptions(region_dropout=0.2, lm_loss_weight=0.5),
        negatives=NegativeOptions(hard_share=0.5, random_epochs=0.5, rise_epochs=0.5),
        training=TrainingOptions(
            epochs=arguments.pretrain_epochs,
            batch_size=128,
            learning_rate=1e-4,
            bert_learning_rate_scale=0.3,
            ema_decay=0.998,
            seed=arguments.seed,
        ),
    )


def _finetuning(
    stores: dict[str, str], model: str, out: str, column: str, arguments: argparse.Namespace
) -> FinetuneRetrievalOptions:
    return FinetuneRetrievalOptions(
        model=model,
        regions=stores["train"],
        validation=stores["validation"],
        out=out,
        text_columns=[column],
        contrastive_loss_weight=1.0,
        negatives=FinetuneNegativeOptions(hard_share=0.8, random_epochs=0.1, rise_epochs=0.2),
        training=TrainingOptions(
            epochs=arguments.finetune_epochs,
            seed=arguments.seed,
            batch_size=32,
            learning_rate=5e-5,
            bert_learning_rate_scale=0.3,
            ema_decay=0.999,
            validations_per_epoch=2,
        ),
    )


def _rank(
    arguments: argparse.Namespace,
    stores: dict[str, str],
    directory: str,
    column: str,
    out: Path,
    seconds: dict[str, float],
) -> None:
    model = load_model(directory, **NO_MIXTURE)
    processor = load_processor(directory)
    started = time.monotonic()
    found, sets = {}, {}
    for split in ("validation", "test"):
        store = RegionStore.open(stores[split])
        data = sets[split] = RetrievalSet.from_table(PairTable.from_captions(store.captions(), [column], stores[split]))
        texts, images = data.encode(store, processor)
        found[split] = joint_gain.candidates(model, data, texts, images)
    fusion = joint_gain.fit(found["validation"])
    ranks = joint_gain.rank(found["test"], fusion)
    joint_gain.keep(ranks, sets["test"].texts, out / f"ranks-{arguments.language}.npz")
    seconds["ranking"] = time.monotonic() - started
    shuffled = best_ranks(dual_matrix(model, texts, images)[:, shuffled_images(data)], data.relevant)
    recall = {
        name: estimates({f"r@{k}": 100.0 * (one <= k) for k in (1, 5, 10)}, 1000, 0) for name, one in ranks.items()
    }
    gain = joint_gain.summary({name: (one == 1).astype(float) for name, one in ranks.items()})
    details = {
        "language": arguments.language,
        "recall": {name: {at: asdict(one) for at, one in found.items()} for name, found in recall.items()},
        "gain": gain,
        "fusion": asdict(fusion),
        "reads_jointly": load_model(directory).config.reads_jointly,
        "shuffled_r@1": round(100 * float((shuffled == 1).mean()), 2),
        "seconds_by_step": {name: round(value, 1) for name, value in seconds.items()},
        "cores": os.cpu_count(),
        "versions": versions(),
    }
    (out / f"metrics-{arguments.language}.json").write_text(json.dumps(details, indent=2) + "\n", encoding="utf-8")
    print(f"seconds: {details['seconds_by_step']}")
    print(f"shuffled images: r@1 {details['shuffled_r@1']}, chance {100 / len(sets['test'].image_rows):.2f}")
    for name, of_scorer in recall.items():
        cells = [f"{at} {one.value:.1f} [{one.low:.1f}, {one.high:.1f}]" for at, one in of_scorer.items()]
        print(f"{name}: {', '.join(cells)}")
    served = "fused" if details["reads_jointly"] else "dual"
    line = {at: round(one.value, 2) for at, one in recall[served].items()}
    print(json.dumps(line | {"median_rank": float(np.median(ranks[served])), "n": len(ranks[served])} | gain))


if __name__ == "__main__":
    main()
