"""Text-to-image retrieval on a fashion catalogue: a taught backbone, extraction, training, exact ranking.

    python benchmarks/fashion_retrieval.py --train train.parquet --validation validation.parquet \\
        --test test.parquet --out runs/fashion [--language en|zh] [--checkpoint MODEL]

The files have the columns of the public data set ashraq/fashion-product-images-small (image, id, productDisplayName)
and title_zh. The backbone learns from the English titles and the other columns of train and is judged by validation;
pretraining sees the titles of both languages; fine-tuning and ranking use --language. --checkpoint starts fine-tuning
from a pretrained model directory, whose extractor is used. Everything is resumable: the same command continues. The
last line is JSON with r@1, r@5, r@10 (per cent), median_rank and n.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from pathlib import Path

from interbert.adaptation.backbone import finetune_backbone
from interbert.adaptation.options import BackboneOptions
from interbert.checkpoints.directory import load_model, load_processor
from interbert.data.pairs import PairTable
from interbert.extraction.columns import ColumnMapping
from interbert.extraction.extract import extract_to_store
from interbert.extraction.extractor import RegionExtractor, build_extractor
from interbert.extraction.grid import GridExtractor, GridSettings
from interbert.extraction.sources import open_source
from interbert.regions.store import RegionStore
from interbert.tasks.evaluation import evaluate_retrieval
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
from interbert.utils.terminal import progress_bar

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
        pretrain(_pretraining(stores, pretrained, arguments.pretrain_epochs))
    seconds["pretraining"] = time.monotonic() - started

    started = time.monotonic()
    model = str(out / f"retrieval-{arguments.language}")
    column = COLUMNS[arguments.language]
    finetune_retrieval(_finetuning(stores, pretrained, model, column, arguments.finetune_epochs))
    seconds["fine-tuning"] = time.monotonic() - started

    _rank(arguments, stores["test"], model, column, out, seconds)


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


def _pretraining(stores: dict[str, str], out: str, epochs: float) -> PretrainOptions:
    return PretrainOptions(
        regions=stores["train"],
        validation=stores["validation"],
        out=out,
        text_columns=list(COLUMNS.values()),
        model=ModelOptions(region_dropout=0.2, lm_loss_weight=0.5),
        negatives=NegativeOptions(hard_share=0.5, random_epochs=0.5, rise_epochs=0.5),
        training=TrainingOptions(
            epochs=epochs, batch_size=128, learning_rate=1e-4, bert_learning_rate_scale=0.3, ema_decay=0.998
        ),
    )


def _finetuning(stores: dict[str, str], model: str, out: str, column: str, epochs: float) -> FinetuneRetrievalOptions:
    return FinetuneRetrievalOptions(
        model=model,
        regions=stores["train"],
        validation=stores["validation"],
        out=out,
        text_columns=[column],
        contrastive_loss_weight=1.0,
        negatives=FinetuneNegativeOptions(hard_share=0.8, random_epochs=0.1, rise_epochs=0.2),
        training=TrainingOptions(
            epochs=epochs,
            batch_size=32,
            learning_rate=5e-5,
            bert_learning_rate_scale=0.3,
            ema_decay=0.999,
            validations_per_epoch=2,
        ),
    )


def _rank(
    arguments: argparse.Namespace, regions: str, directory: str, column: str, out: Path, seconds: dict[str, float]
) -> None:
    model, processor = load_model(directory), load_processor(directory)
    store = RegionStore.open(regions)
    data = RetrievalSet.from_table(PairTable.from_captions(store.captions(), [column], regions))
    texts, images = data.encode(store, processor)
    with progress_bar("ranking", len(texts) * len(images), "pairs") as advance:
        report = evaluate_retrieval(model, data, texts, images, progress=advance)
    seconds["ranking"] = report.seconds
    details = report.to_dict() | {
        "language": arguments.language,
        "seconds_by_step": {name: round(value, 1) for name, value in seconds.items()},
        "cores": os.cpu_count(),
        "versions": versions(),
    }
    (out / f"metrics-{arguments.language}.json").write_text(json.dumps(details, indent=2) + "\n", encoding="utf-8")
    first = report.joint.text_to_image
    dual = report.dual
    print(f"seconds: {details['seconds_by_step']}")
    print(f"shuffled images: r@1 {report.shuffled.recall['r@1'].value:.2f}, chance {first.chance['r@1']:.2f}")
    if dual is not None:
        print("dual encoder: " + ", ".join(f"{name} {one.value:.1f}" for name, one in dual.recall.items()))
    line = {name: round(one.value, 2) for name, one in first.recall.items()}
    print(json.dumps(line | {"median_rank": first.median_rank, "n": first.n}))


if __name__ == "__main__":
    main()
