"""A small catalogue of real photographs: are trained vectors at least as good as the features they are made from?

    python benchmarks/catalogue_retrieval.py ../shared/data/grocery --out runs/grocery [--images 400] [--seed 0]

The folder holds train, validation and test.parquet of the Grocery Store data set (Klasson et al. 2019): photographs of
81 kinds, whose name is the title. The demo's recipe trains on titles alone, from windows that an ImageNet network
describes. On the test photographs, of which any of the right kind is right:

- text to image: titles by the dual encoder and with the joint pass, against *prototypes*: the mean feature vector of
  the training photographs with that title, no training at all; and against *components*: the same of the features'
  principal components, half way to unit variance, where titles count by the words that they share;
- descriptions, which training never saw, in place of titles;
- image to image: a test photograph among the training ones, and among the other test ones, by the trained vectors, by
  the features, by their components, and by both as a finished model searches (`likeness_share`, fitted on
  validation).

R@1 with 95% bootstrap intervals over queries, differences paired. Resumable: the same command continues. The last line
is JSON.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import joint_gain
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from interbert.checkpoints.directory import load_model, load_processor
from interbert.demo.recipe import finetuning, pretraining
from interbert.extraction.columns import ColumnMapping
from interbert.extraction.extract import extract_to_store
from interbert.extraction.grid import GridExtractor, GridSettings
from interbert.extraction.sources import open_source
from interbert.model.configuration import NO_MIXTURE
from interbert.model.scoring import dual_matrix
from interbert.regions.store import RegionStore
from interbert.search.query_encoder import ProductEncoder
from interbert.search.vectors import unit_rows
from interbert.tasks.frozen import scores_by_titles
from interbert.tasks.likeness import components_of
from interbert.tasks.metrics import estimates
from interbert.tasks.retrieval import RetrievalSet
from interbert.training.finetune import finetune_retrieval
from interbert.training.model_card import versions
from interbert.training.pretrain import pretrain

Float32 = NDArray[np.float32]
Hits = dict[str, NDArray[np.floating]]
SPLITS = ("train", "validation", "test")


@dataclass(frozen=True)
class Photographs:
    """A split as vectors; all [n, ...] in the order of the file."""

    kinds: NDArray[np.str_]
    descriptions: tuple[str, ...]
    inputs: list[Any]
    features: Float32
    """Unit vectors of the mean region feature, less the training photographs' mean."""
    components: Float32
    """Unit vectors of its principal components."""
    vectors: Float32
    """As an index has them."""


def main() -> None:
    arguments = _arguments()
    out, data = Path(arguments.out), Path(arguments.data)
    out.mkdir(parents=True, exist_ok=True)
    for split in SPLITS:
        _extract(data, out, split, arguments)
    pairs = pq.read_metadata(out / "train.parquet").num_rows
    recipe = pretraining(out, "minilm", pairs, arguments.effort)
    pretrain(replace(recipe, text_columns=["title"], training=replace(recipe.training, seed=arguments.seed)))
    tuning = finetuning(out, ["title"], pairs, arguments.effort)
    finetune_retrieval(replace(tuning, training=replace(tuning.training, seed=arguments.seed)))
    splits = _photographs(out)
    hits = text_to_image(out, splits) | image_to_image(out, splits)
    line = report(hits)
    details = {"r@1": line, "images": pairs, "seed": arguments.seed, "versions": versions()}
    (out / "figures.json").write_text(json.dumps(details, indent=2) + "\n", encoding="utf-8")
    print(json.dumps(line))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", help="folder with train, validation and test.parquet")
    parser.add_argument("--out", required=True, help="folder for regions, models and figures")
    parser.add_argument("--images", type=int, help="train on a sample of so many photographs, all when not given")
    parser.add_argument("--effort", type=float, default=1.0, help="multiplies the demo's training")
    parser.add_argument("--seed", type=int, default=0)
    return parser.parse_args()


def _extract(data: Path, out: Path, split: str, arguments: argparse.Namespace) -> None:
    table = pq.read_table(data / f"{split}.parquet", columns=["id", "title", "description", "coarse_class", "image"])
    if split == "train" and arguments.images is not None:
        table = table.take(np.random.default_rng(arguments.seed).permutation(len(table))[: arguments.images])
    # photographs of a kind in two splits have one id in the data set
    names = pa.array([f"{split}-{name}" for name in table["id"].to_pylist()])
    pq.write_table(table.set_column(0, "id", names), out / f"{split}.parquet")
    source = open_source(str(out / f"{split}.parquet"), ColumnMapping("image", ("title",), "id", None))
    extractor = GridExtractor(GridSettings(scales=(1, 2)))
    extract_to_store(source, str(out / "regions" / split), extractor, mirrored=split == "train")


def _photographs(out: Path) -> dict[str, Photographs]:
    directory = out / "models" / "retrieval"
    encoder, processor = ProductEncoder.load(directory), load_processor(directory)
    found: dict[str, Photographs] = {}
    basis: tuple[Float32, Float32] | None = None
    for split in SPLITS:
        table = pq.read_table(out / f"{split}.parquet", columns=["id", "title", "description"])
        store = RegionStore.open(str(out / "regions" / split))
        row_of = {row.image_id: row.row for row in reversed(list(store.captions()))}  # the first is as it is
        names = table["id"].to_pylist()
        regions = store.take([row_of[name] for name in names])
        features = np.stack([one.features.mean(axis=0) for one in regions]).astype(np.float32)
        mean, components = basis = components_of(features) if basis is None else basis  # of the training photographs
        vectors, _ = encoder.images(regions, names)
        inputs = [processor.image_inputs(one, where=name) for one, name in zip(regions, names, strict=True)]
        kinds = np.array(table["title"].to_pylist())
        descriptions = tuple(table["description"].to_pylist())
        centred = (features - mean).astype(np.float32)
        found[split] = Photographs(
            kinds, descriptions, inputs, unit_rows(centred), unit_rows(centred @ components), vectors
        )
    return found


def text_to_image(out: Path, splits: Mapping[str, Photographs]) -> Hits:
    """Whether each kind's first image is right: by trained vectors, with the joint pass, by prototypes."""
    directory = out / "models" / "retrieval"
    model = load_model(directory, **NO_MIXTURE)
    processor = load_processor(directory)
    known = set(splits["train"].kinds.tolist())
    found: dict[str, joint_gain.Candidates] = {}
    for split in ("validation", "test"):
        part = splits[split]
        kinds = sorted(set(part.kinds.tolist()) & known)  # a prototype needs a training photograph
        relevant = part.kinds[None] == np.array(kinds)[:, None]
        data = RetrievalSet(tuple(kinds), tuple(range(len(part.kinds))), relevant)
        found[split] = joint_gain.candidates(model, data, processor.texts_to_ids(kinds), part.inputs)
    ranks = joint_gain.rank(found["test"], joint_gain.fit(found["validation"]))
    joint_gain.keep(ranks, kinds, out / "ranks.npz")
    hits: Hits = {f"text: {name}": (one == 1).astype(float) for name, one in ranks.items()}
    train, test = splits["train"], splits["test"]
    prototypes = np.stack([train.features[train.kinds == kind].mean(axis=0) for kind in kinds])
    by_components = scores_by_titles(train.kinds.tolist(), train.components, kinds, test.components)
    hits["text: components"] = _first(by_components, np.array(kinds), test.kinds)
    hits["text: prototypes"] = _first(unit_rows(prototypes) @ test.features.T, np.array(kinds), test.kinds)
    said = [test.descriptions[int(np.argmax(test.kinds == kind))] for kind in kinds]
    by_description = dual_matrix(model, processor.texts_to_ids(said), test.inputs)
    hits["text: descriptions"] = _first(by_description, np.array(kinds), test.kinds)
    return hits


def image_to_image(out: Path, splits: Mapping[str, Photographs]) -> Hits:
    """Whether each test photograph's nearest is of its kind: among training photographs, and among the other ones."""
    encoder = ProductEncoder.load(out / "models" / "retrieval")
    train, test = splits["train"], splits["test"]
    size, share = encoder.direction_size, encoder.model.config.likeness_share
    query = encoder.image_query(test.vectors)
    ways: dict[str, Callable[[Photographs], NDArray[np.floating]]] = {
        "vectors": lambda other: test.vectors[:, :size] @ other.vectors[:, :size].T,
        "features": lambda other: test.features @ other.features.T,
        "components": lambda other: test.components @ other.components.T,
        f"both, share {share:.1f}": lambda other: query @ other.vectors.T,
    }
    hits: Hits = {}
    for name, way in ways.items():
        hits[f"image: {name}"] = _first(way(train), test.kinds, train.kinds)
        others = way(test)
        np.fill_diagonal(others, -np.inf)
        hits[f"among test: {name}"] = _first(others, test.kinds, test.kinds)
    return hits


def _first(scores: NDArray[np.floating], asked: NDArray[np.str_], kinds: NDArray[np.str_]) -> NDArray[np.floating]:
    hits: NDArray[np.floating] = (kinds[scores.argmax(axis=1)] == asked).astype(float)
    return hits


def report(hits: Hits) -> dict[str, Sequence[float]]:
    """Print R@1 of everything, and what it is better than the features alone; value, low, high in per cent."""
    line: dict[str, Sequence[float]] = {}
    for name, one in hits.items():
        task = name.partition(":")[0]
        shown = {name: 100 * one}
        for baseline in ("prototypes" if task == "text" else "features", "components"):
            if name != f"{task}: {baseline}":
                shown[f"{name}, less {baseline}"] = 100 * (one - hits[f"{task}: {baseline}"])
        for what, found in estimates(shown, 2000, 0).items():
            line[what] = [round(value, 1) for value in (found.value, found.low, found.high)]
            print(f"{what:<55} {found.value:6.1f} [{found.low:.1f}, {found.high:.1f}]  n {len(one)}", flush=True)
    return line


if __name__ == "__main__":
    main()
