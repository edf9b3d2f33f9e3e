"""Which benchmarks score a file of predictions against a file of answers, as their organisers do; no model is needed.

A benchmark is a module of this folder with a ``SCORER``, and a line in :data:`BENCHMARKS`. Nothing here imports torch.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from interbert.errors import DataError, UsageError, shortened
from interbert.tasks.metrics import Estimate, estimates

Floats = NDArray[np.floating]

BENCHMARKS = {"kdd": "kdd", "muge": "muge"}
"""Name -> module of this folder."""


@dataclass(frozen=True)
class Scores:
    """What a file of predictions is worth."""

    of_queries: Mapping[str, Floats]
    """Every metric of every query of the answers [n], from 0 to 1; the benchmark's metric is their mean."""
    ignored: int = 0
    """Predictions of queries that the answers do not have, which organisers pass over."""

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
    score: Callable[[Path, Path], Scores]
    """Predictions and answers -> scores; a bad file is a DataError or SourceError that names file and row."""


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
    found: Scorer = import_module(f"interbert.tasks.{BENCHMARKS[benchmark]}").SCORER
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
