"""A new build of an index beside the one that is searched, on the same held-out queries.

Both answer every query as a search does: recall, full text and the joint model. The loss of a query is the old build's
R@1 (or nDCG@10) less the new one's. The new build is not worse when the upper bound of the 95% interval of the mean
loss is at most the tolerance, for both metrics; the interval is of the paired bootstrap over queries (Efron and
Tibshirani 1993; for retrieval Sakai, SIGIR 2006).

Shapes: n queries, p products.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from interbert.data.qrels import Qrels
from interbert.errors import DataError, InterBertError, UsageError, WorseBuildError, require_range
from interbert.search.engine import SearchEngine
from interbert.search.index import ProductIndex
from interbert.search.index_model import index_encoder
from interbert.search.query import Part, Query
from interbert.tasks.metrics import Estimate, estimates
from interbert.tasks.relevance import GradedMetrics, graded_metrics

Float32 = NDArray[np.float32]

METRICS = {"r@1": 1.0, "ndcg@10": 100.0}
"""What is compared, and what it is multiplied with to be in percent."""
_SHOWN = 10
"""Results of a query."""
_AT_ONCE = 32
_BOOTSTRAP = 1000
_IDS_AT_ONCE = 500


@dataclass(frozen=True)
class Comparison:
    """Old and new build on the same queries, in percent."""

    queries: int
    old: dict[str, float]
    new: dict[str, float]
    loss: dict[str, Estimate]
    """What the new one loses, with its 95% interval; below 0 it gains."""

    def is_not_worse(self, tolerance: float) -> bool:
        """Whether the upper bound of every loss is at most so many percentage points."""
        return all(one.high <= tolerance for one in self.loss.values())

    def __str__(self) -> str:
        """The numbers in one line."""
        parts = [
            f"{name} {self.old[name]:.1f} before, {self.new[name]:.1f} now, loss {loss.value:+.2f} "
            f"[{loss.low:+.2f}, {loss.high:+.2f}]"
            for name, loss in self.loss.items()
        ]
        return f"{self.queries} queries: {'; '.join(parts)}"


class Validation:
    """Held-out judgements that a new build has to pass.

    Args:
        path: file of judgements or pairs, as of :meth:`interbert.data.qrels.Qrels.read`.
        tolerance: percentage points that the new build may lose, with 97.5% confidence.
        most: queries that are asked, drawn by ``seed``; None: all.
        seed: of the sample and of the bootstrap.

    Raises:
        InterBertError: the file cannot be read, or a number is impossible.
    """

    def __init__(self, path: str | Path, tolerance: float = 1.0, most: int | None = 1000, seed: int = 0) -> None:
        require_range("index build: --tolerance", tolerance, 0, 100.001)
        require_range("index build: --validate-queries", most, 2)
        self.qrels = Qrels.read(path)
        self.tolerance, self.most, self.seed = tolerance, most, seed
        self.comparison: Comparison | None = None
        """Of the last call."""

    def __call__(self, old: ProductIndex, new: ProductIndex) -> None:
        """Compare; nothing when the new build is not worse.

        Raises:
            WorseBuildError: it is, or may be.
        """
        found = compare(SearchEngine(old, index_encoder(old)), SearchEngine(new, index_encoder(new)), self)
        self.comparison = found
        if not found.is_not_worse(self.tolerance):
            raise WorseBuildError(
                f"{old.path}: the new build may be worse, so the old one stays. {found}; the upper bound may be "
                f"{self.tolerance:g}. The new one is kept aside: the same command without --validate takes it."
            )


def compare(old: SearchEngine, new: SearchEngine, validation: Validation) -> Comparison:
    """Both builds on the queries that call a product of the old build right.

    A product that the new build lacks counts as not found.

    Raises:
        DataError: fewer than two queries have a right product in the old build.
    """
    qrels = validation.qrels
    there = np.isin(np.array(qrels.products), _known(old, qrels.products))[qrels.product_of]
    asking = np.unique(qrels.query_of[there & qrels.relevant(None)])
    if validation.most is not None and validation.most < len(asking):
        asking = np.sort(np.random.default_rng(validation.seed).permutation(asking)[: validation.most])
    if len(asking) < 2:
        raise DataError(
            f"{qrels.where}: {len(asking)} of its {len(qrels.queries)} queries has a right product in the index that "
            "is searched. Give judgements of its products, of two queries at least."
        )
    texts = [qrels.queries[query] for query in asking.tolist()]
    line = np.full(len(qrels.queries), -1)
    line[asking] = np.arange(len(asking))
    used = there & (line[qrels.query_of] >= 0)
    grades: list[dict[str, float]] = [{} for _ in texts]
    for query, product, grade in zip(
        line[qrels.query_of[used]], qrels.product_of[used], qrels.grades[used], strict=True
    ):
        grades[query][qrels.products[product]] = float(grade)
    before, after = (_judged(_answers(engine, texts), grades) for engine in (old, new))
    scaled = {
        name: (scale * before.of_queries[name], scale * after.of_queries[name]) for name, scale in METRICS.items()
    }
    loss = estimates({name: first - second for name, (first, second) in scaled.items()}, _BOOTSTRAP, validation.seed)
    means = [{name: float(pair[side].mean()) for name, pair in scaled.items()} for side in (0, 1)]
    return Comparison(len(texts), means[0], means[1], loss)


def _answers(engine: SearchEngine, texts: Sequence[str]) -> list[list[str]]:
    """Ids of the products that each text finds, best first; none for a text that cannot be searched for."""
    found: list[list[str]] = []
    for start in range(0, len(texts), _AT_ONCE):
        queries = [Query((Part(text=text),), top_k=_SHOWN, duplicates=None) for text in texts[start : start + _AT_ONCE]]
        for one in engine.search_many(queries):
            if isinstance(one, InterBertError) and not isinstance(one, UsageError):
                raise one
            found.append([] if isinstance(one, InterBertError) else [hit.product_id for hit in one.hits])
    return found


def _judged(answers: Sequence[Sequence[str]], grades: Sequence[dict[str, float]]) -> GradedMetrics:
    """Metrics of answers; what was not found is as good as the last."""
    column: dict[str, int] = {}
    for names in (*answers, *grades):
        for name in names:
            column.setdefault(name, len(column))
    scores = np.zeros((len(answers), len(column) + _SHOWN), np.float32)  # wrong ones too: what is not found is no hit
    given = np.zeros_like(scores)
    for row, (found, judged) in enumerate(zip(answers, grades, strict=True)):
        scores[row, [column[name] for name in found]] = [1.0 / (1 + rank) for rank in range(len(found))]
        given[row, [column[name] for name in judged]] = list(judged.values())
    return graded_metrics(scores, given, given > 0, bootstrap=0)


def _known(engine: SearchEngine, products: Sequence[str]) -> list[str]:
    """Those products that an index has."""
    assert isinstance(engine.index, ProductIndex)
    known: set[str] = set()
    for start in range(0, len(products), _IDS_AT_ONCE):
        known.update(engine.index.images_of(products[start : start + _IDS_AT_ONCE]).values())
    return sorted(known)
