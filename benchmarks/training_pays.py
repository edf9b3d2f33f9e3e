"""From how many products training pays: the README's commands on parts of a catalogue, against search without training.

    python benchmarks/training_pays.py ../shared/data/fashion --out runs/pays --products 1000 3000

The folder holds train, validation and test.parquet with the columns of the public data set
ashraq/fashion-product-images-small (image, id, productDisplayName) and title_zh. Each size trains on a sample of train,
which the larger ones contain, by the three commands of docs/quickstart.md as they are; validation chooses the step.
Ranked are all images of test for each of its English titles, by the finished model and by what `finetune retrieval`
calls untrained: the extractor's ImageNet features, reached by the titles of the same training products.

Prints R@1 in per cent with 95% bootstrap intervals over titles, the difference paired, and the minutes of each command.
Resumable: the same command continues. The last line is JSON.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray

from interbert.checkpoints.directory import load_model, load_processor
from interbert.data.pairs import PairTable
from interbert.model.scoring import dual_matrix
from interbert.regions.store import RegionStore
from interbert.search.vectors import unit_rows
from interbert.tasks.frozen import scores_by_titles
from interbert.tasks.likeness import components_of
from interbert.tasks.metrics import best_ranks, estimates
from interbert.tasks.retrieval import RetrievalSet
from interbert.training.model_card import versions

Float32 = NDArray[np.float32]
ENGLISH = "productDisplayName"
BOTH = f"{ENGLISH},title_zh"
RECIPES = Path(__file__).resolve().parent.parent / "recipes"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="folder with train, validation and test.parquet")
    parser.add_argument("--out", type=Path, required=True, help="folder for regions, models and figures")
    parser.add_argument("--products", type=int, nargs="+", default=[1000, 3000])
    parser.add_argument("--untrained", action="store_true", help="train nothing, rank by titles and features alone")
    given = parser.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    for split in ("validation", "test"):
        extract(given.data / f"{split}.parquet", given.out / "regions" / split)
    lines = {}
    for products in given.products:
        folder = given.out / str(products)
        sample(given.data / "train.parquet", products, folder)
        extract(folder / "train.parquet", folder / "regions")
        minutes = {} if given.untrained else train(given.out, folder)
        lines[products] = compare(given.out, folder) | {"minutes": minutes}
        print(f"{products} products: {json.dumps(lines[products])}", flush=True)
    details = {"products": lines, "versions": versions()}
    (given.out / "figures.json").write_text(json.dumps(details, indent=2) + "\n", encoding="utf-8")
    print(json.dumps(lines))


def sample(train: Path, products: int, folder: Path) -> None:
    """Write a sample of the products; a larger one holds all of a smaller one."""
    folder.mkdir(parents=True, exist_ok=True)
    table = pq.read_table(train)
    chosen = np.random.default_rng(0).permutation(len(table))[:products]
    pq.write_table(table.take(np.sort(chosen)), folder / "train.parquet")


def extract(source: Path, store: Path) -> None:
    """Extract as docs/quickstart.md does."""
    command("extract", str(source), str(store), "--text-columns", BOTH, "--scales", "1,2")


def train(out: Path, folder: Path) -> dict[str, float]:
    """Pretrain and fine-tune; the minutes of both (of what was left of them, where they were stopped)."""
    held = ("--validation", str(out / "regions" / "validation"))
    store, pretrained, model = (str(folder / name) for name in ("regions", "pretrained", "retrieval"))
    minutes = {}
    started = time.monotonic()
    command("pretrain", store, pretrained, "--config", str(RECIPES / "pretrain_mini.yaml"), *held)
    minutes["pretrain"] = round((time.monotonic() - started) / 60, 1)
    started = time.monotonic()
    recipe = ("--config", str(RECIPES / "finetune_retrieval_mini.yaml"))
    command("finetune", "retrieval", pretrained, store, model, "--text-columns", ENGLISH, *recipe, *held)
    minutes["finetune"] = round((time.monotonic() - started) / 60, 1)
    return minutes


def command(*words: str) -> None:
    """Run a command of interbert."""
    print("interbert", *words, flush=True)
    subprocess.run([sys.executable, "-m", "interbert", *words], check=True)


def compare(out: Path, folder: Path) -> dict[str, list[float]]:
    """R@1 on test without training, of the finished model where there is one, and the difference; value, low, high."""
    store = RegionStore.open(str(out / "regions" / "test"))
    data = RetrievalSet.from_table(PairTable.from_captions(store.captions(), [ENGLISH], store.path))
    hits = {"untrained": best_ranks(untrained(folder, store, data), data.relevant) == 1}
    directory = folder / "retrieval"
    if directory.is_dir():
        model, processor = load_model(directory), load_processor(directory)
        if model.config.reads_jointly:
            print("this model reads jointly: only its dual encoder is compared", flush=True)
        hits["trained"] = best_ranks(dual_matrix(model, *data.encode(store, processor)), data.relevant) == 1
    shown = {name: 100.0 * one for name, one in hits.items()}
    if len(shown) == 2:
        shown["trained, less untrained"] = shown["trained"] - shown["untrained"]
    return {
        name: [round(value, 1) for value in (found.value, found.low, found.high)]
        for name, found in estimates(shown, 2000, 0).items()
    }


def untrained(folder: Path, store: RegionStore, data: RetrievalSet) -> Float32:
    """Scores [texts, images] by training titles and the components of ImageNet's features."""
    known = RegionStore.open(str(folder / "regions"))
    table = PairTable.from_captions(known.captions(), [ENGLISH], known.path)
    features, candidates = means(known, table.rows.tolist()), means(store, list(data.image_rows))
    mean, components = components_of(features)
    return scores_by_titles(
        list(table.texts),
        unit_rows(((features - mean) @ components).astype(np.float32)),
        data.texts,
        unit_rows(((candidates - mean) @ components).astype(np.float32)),
    )


def means(store: RegionStore, rows: list[int]) -> Float32:
    """The mean region feature [n,F] of store rows."""
    blocks = (store.take(rows[start : start + 512]) for start in range(0, len(rows), 512))
    return np.stack([one.features.mean(axis=0) for block in blocks for one in block]).astype(np.float32)


if __name__ == "__main__":
    main()
