"""Whether the relevance of words and regions says what a model's score rests on.

    python benchmarks/explanation.py --model models/fashion --regions regions/test --pairs 200 --out runs/explanation

For held-out matching pairs (a text of a row and its image), by the matching logit difference:

* deletion: words (or regions) are removed in the order of relevance, the most relevant first; the area under the score
  is small when the order is good;
* insertion: they come back in that order, to a text without words (an image of the global token alone); the area is
  large when the order is good. Curves have at most 10 steps.

Orders are those of gradient x attention (`interbert.explain`), of the same without the clamp at 0 ("signed"), of raw
attention (what the first tokens attend to in the last extraction layers, and the mean over all layers), and random. All
remove in the same way, words from the text and regions from attention. The rank correlation of each with what removing
one word (or region) alone takes from the score is computed, too, where there are more than two. Differences between
orders are paired, with 95% bootstrap intervals over pairs, resampled by title, since photos of one product are alike.
The last line is JSON; `--out` keeps
each pair's numbers, and a run that ended early goes on there.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.stats import spearmanr

from interbert.checkpoints.directory import load_model, load_processor
from interbert.explain.images import image_tokens, on_model
from interbert.explain.occlusion import Removal, scores_without
from interbert.explain.relevance import Pass, attended, explainable, token_relevance
from interbert.explain.words import TokenizedText, tokenized
from interbert.model.modeling import InterBertForImageTextRetrieval
from interbert.regions.store import RegionStore
from interbert.training.model_card import versions
from interbert.utils.terminal import progress_bar

Float64 = NDArray[np.float64]
KINDS = ("words", "regions")
STEPS = 10
"""Of a curve, at most."""


def orders(passed: Pass) -> dict[str, torch.Tensor]:
    """Scores [L] by which tokens are put in order, of one pair."""
    count = passed.image_tokens
    weights = {kind: [one.mean(dim=1) for one in getattr(passed.weights, kind)] for kind in vars(passed.weights)}
    last = torch.cat([weights["image"][-1][0, 0], weights["text"][-1][0, 0]])
    mean = torch.zeros_like(last)
    for one in weights["interaction"]:
        mean += one[0, 0] + one[0, count]
    for one in weights["image"]:
        mean[:count] += one[0, 0]
    for one in weights["text"]:
        mean[count:] += one[0, 0]
    return {
        "relevance": token_relevance(passed)[0],
        "signed": token_relevance(passed, lambda gradient, weight: gradient * weight)[0],
        "attention, last layer": last,
        "attention, all layers": mean,
    }


def removed(kind: str, places: Sequence[int]) -> Removal:
    """Some words, or some regions."""
    return Removal(**{kind: tuple(sorted(places))})


def curves(kind: str, order: Sequence[int]) -> tuple[list[Removal], list[Removal]]:
    """What is removed at each point of the deletion and of the insertion curve."""
    points = np.unique(np.linspace(0, len(order), min(STEPS, len(order)) + 1).round().astype(int))
    return [removed(kind, order[:k]) for k in points], [removed(kind, order[k:]) for k in points]


class Scores:
    """Logit differences of a pair's variants, each computed once."""

    def __init__(self, model: InterBertForImageTextRetrieval, text: TokenizedText, image: NDArray[np.float32]) -> None:
        self._pair = (model, text, image)
        self._known: dict[Removal, float] = {}

    def of(self, removals: Sequence[Removal]) -> list[float]:
        """Scores without each of some things."""
        new = [one for one in dict.fromkeys(removals) if one not in self._known]
        self._known |= dict(zip(new, scores_without(*self._pair, new).tolist(), strict=True))
        return [self._known[one] for one in removals]


def area(scores: Sequence[float]) -> float:
    """Mean height of a curve, by trapezoids."""
    return float(np.trapezoid(scores) / (len(scores) - 1))


def measured(scores: Scores, kind: str, ranked: dict[str, Float64]) -> dict[str, Any]:
    """Areas and rank correlations of each order of one pair's words, or regions.

    Args:
        ranked: by order, a score of each word or region.
    """
    count = len(ranked["relevance"])
    whole, *without = scores.of([Removal(), *(removed(kind, [place]) for place in range(count))])
    change = whole - np.array(without)
    planned = {name: curves(kind, np.argsort(-one, kind="stable").tolist()) for name, one in ranked.items()}
    scores.of([one for two in planned.values() for curve in two for one in curve])
    result: dict[str, Any] = {}
    for name, (deletion, insertion) in planned.items():
        correlation = None
        if count > 2 and np.ptp(ranked[name]) and np.ptp(change):
            correlation = float(spearmanr(ranked[name], change).statistic)
        result[name] = [area(scores.of(deletion)), area(scores.of(insertion)), correlation]
    return result


def pair_numbers(
    model: InterBertForImageTextRetrieval, processor: Any, text: str, regions: Any, seed: int
) -> dict[str, Any]:
    """Everything that is measured of one pair."""
    read, image = tokenized(processor, text), image_tokens(model, processor, regions)
    ids, embedded = torch.tensor([read.ids]), on_model(model, image)
    passed = attended(model, ids, torch.ones_like(ids), embedded, ids.new_ones(embedded.shape[:2]))
    scores, generator, count = Scores(model, read, image.embedded), np.random.default_rng(seed), passed.image_tokens
    found = {name: one.double().numpy() for name, one in orders(passed).items()}
    by_kind: dict[str, dict[str, Float64]] = {
        "words": {
            name: np.array([one[[count + piece for piece in word.pieces]].sum() for word in read.words])
            for name, one in found.items()
        },
        "regions": {name: one[1:count] for name, one in found.items()},
    }
    numbers: dict[str, Any] = {"score": float(passed.differences[0])}
    for kind, ranked in by_kind.items():
        ranked["random"] = generator.random(len(ranked["relevance"]))
        numbers[kind] = measured(scores, kind, ranked)
    return numbers


def pairs(store: RegionStore, count: int, seed: int) -> list[tuple[int, str]]:
    """Row and a text of rows that are drawn at random."""
    captions = [one for one in store.captions() if one.texts and one.view == 0]
    generator = np.random.default_rng(seed)
    chosen = generator.choice(len(captions), min(count, len(captions)), replace=False)
    return [
        (captions[one].row, captions[one].texts[generator.integers(len(captions[one].texts))])
        for one in chosen.tolist()
    ]


def all_numbers(arguments: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """Numbers of every pair; those that the file of an earlier run has are read."""
    file = Path(arguments.out)
    file.parent.mkdir(parents=True, exist_ok=True)
    known = [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []
    yield from known
    model, processor = explainable(load_model(arguments.model)), load_processor(arguments.model)
    store = RegionStore.open(arguments.regions)
    drawn = pairs(store, arguments.pairs, arguments.seed)
    with progress_bar("explaining", len(drawn), "pairs") as advance, file.open("a") as out:
        advance(len(known))
        for place, (row, text) in list(enumerate(drawn))[len(known) :]:
            (regions,) = store.take([row])
            numbers: dict[str, Any] = {"row": row}
            numbers |= pair_numbers(model, processor, text, regions, arguments.seed + place)
            out.write(json.dumps(numbers) + "\n")
            out.flush()
            yield numbers
            advance(1)


def interval(
    values: Float64, groups: Sequence[str] | NDArray[np.int64], seed: int = 0, draws: int = 2000
) -> list[float]:
    """Mean and its 95% bootstrap interval; groups are drawn whole."""
    _, group_of = np.unique(np.array(groups), return_inverse=True)
    sums, counts = np.bincount(group_of, values), np.bincount(group_of)
    drawn = np.random.default_rng(seed).integers(0, len(sums), (draws, len(sums)))
    means = sums[drawn].sum(axis=1) / counts[drawn].sum(axis=1)
    return [round(float(one), 4) for one in (values.mean(), *np.percentile(means, [2.5, 97.5]))]


def summary(numbers: Sequence[dict[str, Any]], kind: str) -> dict[str, Any]:
    """Means of each order, and by how much relevance (or signed relevance) is better than the others."""
    names = list(numbers[0][kind])
    groups = [one["title"] for one in numbers]
    areas = {name: np.array([one[kind][name][:2] for one in numbers]) for name in names}
    result: dict[str, Any] = {}
    for name in names:
        told = [(one[kind][name][2], one["title"]) for one in numbers if one[kind][name][2] is not None]
        result[name] = {
            "deletion": round(float(areas[name][:, 0].mean()), 3),
            "insertion": round(float(areas[name][:, 1].mean()), 3),
            "rank correlation with occlusion": interval(np.array([one for one, _ in told]), [two for _, two in told]),
        }
    for ours in ("relevance", "signed"):
        for name in names:
            if name != ours:
                result[f"{ours} better than {name}"] = {
                    "deletion": interval(areas[name][:, 0] - areas[ours][:, 0], groups),
                    "insertion": interval(areas[ours][:, 1] - areas[name][:, 1], groups),
                }
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", required=True, help="model directory")
    parser.add_argument("--regions", required=True, help="region store of a held-out split, by the model's extractor")
    parser.add_argument("--pairs", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", required=True, help="file that keeps the numbers of each pair, a line each")
    arguments = parser.parse_args()
    numbers = list(all_numbers(arguments))
    titles = {one.row: one.texts[0] for one in RegionStore.open(arguments.regions).captions() if one.texts}
    numbers = [one | {"title": titles[one["row"]]} for one in numbers]
    results = {kind: summary(numbers, kind) for kind in KINDS}
    for kind, found in results.items():
        print(kind)
        for name, values in found.items():
            print(f"  {name}: {values}")
    facts = {
        "pairs": len(numbers),
        "titles": len({one["title"] for one in numbers}),
        "scored above 0": round(float(np.mean([one["score"] > 0 for one in numbers])), 3),
    }
    print(json.dumps(facts | {"results": results, "versions": versions()}))


if __name__ == "__main__":
    main()
