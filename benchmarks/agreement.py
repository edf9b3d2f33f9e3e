"""How well pairs of image and title that do not belong together are found, by rank in blocks, by share, by a cosine.

    python benchmarks/agreement.py --model models/fashion --files validation.parquet test.parquet \\
        --text-column title_zh --category-column subCategory --out runs/agreement

The titles of a known part of the pairs (--wrong) are exchanged: among all pairs, and among those of the same category,
which is harder. What each method drops is compared with what was exchanged. A cosine needs a threshold that nobody
has: it is given the one that drops as many rows as the method beside it, which no user knows, and the one that is best
for these very rows. Numbers are over --draws exchanges; intervals are 95% bootstrap intervals, resampled by row. The
rows must not have been trained on. Resumable: vectors are kept in --out.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray

from interbert.curation.agreement import AgreementOptions, agreeing_rows, pair_scores
from interbert.curation.encoding import encode_pairs
from interbert.search.query_encoder import ProductEncoder
from interbert.training.model_card import versions

Array = NDArray[np.float32]
Bool = NDArray[np.bool_]
Judge = Callable[[Array, int], Bool]
"""Vectors of the titles as they stand after an exchange, and its number -> rows to keep."""

BLOCKS = ((4, 1), (8, 1), (16, 1), (64, 1), (512, 1), (64, 2), (64, 4), (64, 8), (256, 16), (256, 32))
"""Rows of a block, and how many are the first."""
BY_COSINE = ((8, 1), (64, 1), (64, 4), (64, 8))
LARGE = 30
"""Rows of a category that is looked at alone."""
SHARES = (0.95, 0.9, 0.8, 0.7)
RESAMPLED = 1000


class Rows:
    """Images and titles of parquet files."""

    def __init__(self, files: Sequence[str], text: str, category: str) -> None:
        tables = [pq.read_table(file, columns=["image", text, category]) for file in files]
        self._images = [one for table in tables for one in table["image"].to_pylist()]
        self.titles = [str(one) for table in tables for one in table[text].to_pylist()]
        self.categories = [str(one) for table in tables for one in table[category].to_pylist()]

    def __len__(self) -> int:
        return len(self.titles)

    def __getitem__(self, row: int) -> tuple[bytes, str]:
        return self._images[row]["bytes"], self.titles[row]


def exchanged(titles: Sequence[str], groups: Sequence[str], wrong: float, seed: int) -> NDArray[np.int64]:
    """[N] whose title each row has: of a share of the rows another's of their group, with other words; else its own."""
    draw = np.random.default_rng(seed)
    source = np.arange(len(titles))
    members: dict[str, list[int]] = {}
    for row in draw.permutation(len(titles))[: round(wrong * len(titles))].tolist():
        members.setdefault(groups[row], []).append(row)
    for rows in members.values():
        source[rows] = np.roll(rows, 1)
    for row in np.flatnonzero(source != np.arange(len(titles))).tolist():
        if titles[row] == titles[source[row]]:  # a title that is right for both
            source[row] = row
    return source


class Counts:
    """Rows that were wrong, dropped, and both, by row and over draws."""

    def __init__(self, categories: Sequence[str]) -> None:
        self._categories = np.unique(np.array(categories), return_inverse=True)[1]
        self.wrong, self.dropped, self.both = np.zeros((3, len(categories)))
        self.draws = 0

    def add(self, wrong: Bool, keep: Bool) -> None:
        self.draws += 1
        self.wrong += wrong
        self.dropped += ~keep
        self.both += wrong & ~keep

    def line(self) -> dict[str, str | float]:
        """Precision and recall in per cent with intervals, and what part of the good rows was dropped."""
        draw = np.random.default_rng(0)
        weights = draw.multinomial(len(self.wrong), np.full(len(self.wrong), 1 / len(self.wrong)), RESAMPLED)
        bad, good = self.both, self.dropped - self.both
        right = self.draws - self.wrong
        return {
            "precision": interval(bad, self.dropped, weights),
            "recall": interval(bad, self.wrong, weights),
            "good pairs dropped": interval(good, right, weights),
            "in the worst category": self._worst(good, right),
            "f1": round(100 * float(2 * bad.sum() / (self.dropped.sum() + self.wrong.sum())), 1),
        }

    def _worst(self, good: NDArray[np.float64], right: NDArray[np.float64]) -> float:
        """The largest share of a category's good pairs that was dropped, per cent."""
        large = np.bincount(self._categories) >= LARGE
        dropped, there = (np.bincount(self._categories, one)[large] for one in (good, right))
        return round(100 * float((dropped / there).max()), 1)


def interval(part: NDArray[np.float64], whole: NDArray[np.float64], weights: NDArray[np.int64]) -> str:
    """A share of sums in per cent, with the bounds between which 95% of resamplings lie."""
    if not whole.sum():
        return "none"
    low, high = np.percentile(100 * (weights @ part) / np.maximum(weights @ whole, 1e-9), [2.5, 97.5])
    return f"{100 * part.sum() / whole.sum():.1f} [{low:.1f}, {high:.1f}]"


def methods(images: Array, cosine: Callable[[Array], Array], categories: Sequence[str]) -> dict[str, Judge]:
    """Every way to judge, by name."""

    def mutual(size: int, rank: int, both: bool = False) -> Judge:
        def judge(texts: Array, seed: int) -> Bool:
            found = agreeing_rows(texts, images, AgreementOptions(block_size=size, rank=rank, seed=seed))
            return found.text_first & found.image_first if both else found.keep

        return judge

    def share(part: float, by: Sequence[str] | None) -> Judge:
        return lambda texts, _: agreeing_rows(texts, images, AgreementOptions("share", keep_share=part), by).keep

    def as_many(other: Judge) -> Judge:
        def judge(texts: Array, seed: int) -> Bool:
            scores, count = cosine(texts), int((~other(texts, seed)).sum())
            found: Bool = scores >= np.sort(scores)[count]
            return found

        return judge

    found = {f"first {rank} of {size}": mutual(size, rank) for size, rank in BLOCKS}
    found |= {"first 4 of 64 in both directions": mutual(64, 4, both=True)}
    found |= {f"cosine that drops as many as first {k} of {size}": as_many(mutual(size, k)) for size, k in BY_COSINE}
    found |= {f"best {100 * part:.0f}% of each category": share(part, categories) for part in SHARES}
    found |= {f"best {100 * part:.0f}% of all": share(part, None) for part in SHARES}
    return found | {f"cosine of at least {one:.2f}": at_least(cosine, one) for one in (0.2, 0.3, 0.4, 0.5)}


def at_least(cosine: Callable[[Array], Array], threshold: float) -> Judge:
    return lambda texts, _: cosine(texts) >= threshold


def table(lines: dict[str, dict[str, str | float]]) -> str:
    names = list(next(iter(lines.values())))
    rows = [f"| {' | '.join(['', *names])} |", f"|{' --- |' * (len(names) + 1)}"]
    return "\n".join([*rows, *(f"| {name} | {' | '.join(map(str, line.values()))} |" for name, line in lines.items())])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", required=True, help="directory of a retrieval model that did not train on the rows")
    parser.add_argument("--files", nargs="+", required=True, help="parquet files with a column image")
    parser.add_argument("--text-column", required=True)
    parser.add_argument("--category-column", required=True)
    parser.add_argument("--wrong", type=float, default=0.1, help="part of the pairs whose titles are exchanged")
    parser.add_argument("--draws", type=int, default=100)
    parser.add_argument("--out", required=True, help="folder for the vectors")
    arguments = parser.parse_args()
    rows = Rows(arguments.files, arguments.text_column, arguments.category_column)
    found = encode_pairs(rows, arguments.model, Path(arguments.out) / arguments.text_column, progress=True)
    assert not found.problems, found.problems
    text, image = np.array(found.text), np.array(found.image)
    size = ProductEncoder.load(arguments.model).direction_size  # without the hub correction

    def cosine(texts: Array) -> Array:
        direction, other = texts[:, :size], image[:, :size]
        lengths = np.linalg.norm(direction, axis=1) * np.linalg.norm(other, axis=1)
        found: Array = pair_scores(direction, other) / lengths
        return found

    last: dict[str, dict[str, dict[str, str | float]]] = {}
    for kind, groups in {"among all": [""] * len(rows), "within the category": rows.categories}.items():
        judges = methods(image, cosine, rows.categories)
        counts = {name: Counts(rows.categories) for name in judges}
        best: list[float] = []
        for seed in range(arguments.draws):
            source = exchanged(rows.titles, groups, arguments.wrong, seed)
            wrong, texts = source != np.arange(len(rows)), text[source]
            for name, judge in judges.items():
                counts[name].add(wrong, judge(texts, arguments.draws + seed))  # blocks apart from exchanges
            best.append(best_f1(cosine(texts), wrong))
        print(f"\n## Titles exchanged {kind}: {100 * wrong.mean():.1f}% of {len(rows):,} pairs\n")
        last[kind] = {name: one.line() for name, one in counts.items()}
        print(table(last[kind]))
        print(
            f"\nThe cosine whose threshold is the best for each exchange, F1: {100 * np.mean(best):.1f}\n", flush=True
        )
    print(json.dumps({"results": last, "versions": versions()}, ensure_ascii=False))


def best_f1(scores: Array, wrong: Bool) -> float:
    """The largest F1 that a threshold gives on these rows."""
    right = np.cumsum(wrong[np.argsort(scores, kind="stable")])
    return float((2 * right / (np.arange(1, len(scores) + 1) + wrong.sum())).max())


if __name__ == "__main__":
    main()
