"""Which benchmarks score a file of predictions against a file of answers, as their organisers do; no model is needed.

A benchmark is a module with a ``SCORER``, and a line in :data:`BENCHMARKS`. Nothing here imports torch.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from interbert.errors import DataError, UsageError, shortened
from interbert.tasks.metrics import Estimate, estimates

Floats = NDArray[np.floating]

BENCHMARKS = {
    "kdd": "interbert.tasks.kdd",
    "muge": "interbert.tasks.muge",
    "vcr": "interbert.vl_tasks.vcr",
    "vqa": "interbert.vl_tasks.vqa",
    "gqa": "interbert.vl_tasks.gqa",
    "nlvr2": "interbert.vl_tasks.nlvr",
    "nlvr": "interbert.vl_tasks.nlvr",
    "snli-ve": "interbert.vl_tasks.snli_ve",
    "refcoco": "interbert.vl_tasks.refcoco",
    "refcoco+": "interbert.vl_tasks.refcoco",
    "refcocog": "interbert.vl_tasks.refcoco",
    "flickr-entities": "interbert.vl_tasks.flickr_entities",
}
"""Name -> module, which is imported when its files are scored."""


class Scored(Protocol):
    """What a file of predictions is worth, in any benchmark."""

    @property
    def n(self) -> int:
        """Items that count."""

    @property
    def ignored(self) -> int:
        """Predictions of items that the answers do not have."""

    @property
    def others(self) -> Mapping[str, float | None]:
        """Metrics that are no mean of items, or have no item; without an interval."""

    @property
    def counts(self) -> Mapping[str, int]:
        """Numbers of items other than ``n``."""

    def to_dict(self) -> Mapping[str, Any]:
        """Metrics and counts, for JSON."""

    def intervals(self, bootstrap: int = 1000, seed: int = 0) -> dict[str, Estimate]:
        """Every metric that is a mean of items, with its 95% bootstrap interval."""


@dataclass(frozen=True)
class Scores:
    """What a file of predictions is worth."""

    of_queries: Mapping[str, Floats]
    """Every metric of every query of the answers [n], from 0 to 1; the benchmark's metric is their mean."""
    ignored: int = 0
    """Predictions of queries that the answers do not have, which organisers pass over."""
    others: Mapping[str, float | None] = field(default_factory=dict)
    """None: every metric is a mean of queries."""
    counts: Mapping[str, int] = field(default_factory=dict)
    """None but ``n`` and ``ignored``."""

    @property
    def n(self) -> int:
        """Queries."""
        return len(next(iter(self.of_queries.values())))

    def to_dict(self) -> dict[str, float | int]:
        """Every metric from 0 to 1, ``n`` queries and the ``ignored`` predictions, for JSON."""
        means = {name: float(values.mean()) for name, values in self.of_queries.items()}
        return {**means, "n": self.n, "ignored": self.ignored}

    def intervals(self, bootstrap: int = 1000, seed: int = 0) -> dict[str, Estimate]:
        """Every metric with its 95% bootstrap interval over queries."""
        return estimates(self.of_queries, bootstrap, seed)


@dataclass(frozen=True)
class Scorer:
    """How a benchmark is scored."""

    name: str
    """Of the benchmark, for people."""
    queries: str
    """What its queries are called: ``queries``, ``texts``."""
    score: Callable[..., Scored]
    """Predictions and files of answers, each a Path -> scores; a bad file is a DataError or SourceError that names file
    and row."""
    truths: tuple[str, ...] = ("the file of answers",)
    """What each file of answers is; the first is needed, the others may be given."""

    def score_files(self, predictions: Path, truths: Sequence[Path]) -> Scored:
        """Score predictions against one file of answers or several.

        Raises:
            UsageError: there are more files than the benchmark reads.
            DataError, SourceError: a file is bad.
        """
        if len(truths) > len(self.truths):
            raise UsageError(
                f"score: {shortened(str(truths[len(self.truths)]))} is one file too many. {self.name} reads, in this "
                f"order: {', '.join(self.truths)}."
            )
        return self.score(predictions, *truths)


def find_scorer(benchmark: str) -> Scorer:
    """The scorer of a benchmark.

    Raises:
        UsageError: there is none; the message names the nearest.
    """
    if benchmark not in BENCHMARKS:
        close = difflib.get_close_matches(benchmark, BENCHMARKS, n=1, cutoff=0.5)
        hint = f" Did you mean {close[0]!r}?" if close else ""
        raise UsageError(
            f"score: there is no benchmark {shortened(benchmark)!r}.{hint} Benchmarks: {', '.join(BENCHMARKS)}."
        )
    found: Scorer = import_module(BENCHMARKS[benchmark]).SCORER
    return found


def require_all(path: Path, missing: list[str], query: str, truth: Path) -> None:
    """Check that every query has a prediction.

    Args:
        path: of the predictions.
        missing: ids of queries without one.
        query: what a query is called.
        truth: the file of answers.

    Raises:
        DataError: some have none.
    """
    if missing:
        more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
        raise DataError(
            f"{path}: has no prediction for {query} {missing[0][:40]}{more} of {truth}. Every {query} counts: "
            "predict them all."
        )
