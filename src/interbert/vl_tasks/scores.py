"""What predictions of a task are worth."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from interbert.tasks.metrics import Estimate, estimates

Floats = NDArray[np.floating]


@dataclass(frozen=True)
class TaskScores:
    """Metrics of a task, from 0 to 1 where nothing else is said."""

    of_items: Mapping[str, Floats]
    """Metric -> value of each item that counts for it [at least one]; the metric is their mean."""
    n: int
    """Items of the truth: questions, sentences, phrases."""
    others: Mapping[str, float | None] = field(default_factory=dict)
    """Metrics that are no mean of items, and those for which no item counts (None)."""
    counts: Mapping[str, int] = field(default_factory=dict)
    """``n_testA``, ``left_out`` and so on."""
    ignored: int = 0
    """Predictions of items that the truth does not have, where the organisers pass over them."""

    def to_dict(self) -> dict[str, float | int | None]:
        """Metrics, ``n``, counts and ``ignored``, for JSON."""
        means = {name: float(values.mean()) for name, values in self.of_items.items()}
        return {**means, **self.others, "n": self.n, **self.counts, "ignored": self.ignored}

    def intervals(self, bootstrap: int = 1000, seed: int = 0) -> dict[str, Estimate]:
        """Every mean over items, with its 95% bootstrap interval."""
        return {name: estimates({name: values}, bootstrap, seed)[name] for name, values in self.of_items.items()}


def task_scores(
    values: Mapping[str, Iterable[float]],
    n: int,
    others: Mapping[str, float | None] | None = None,
    counts: Mapping[str, int] | None = None,
    ignored: int = 0,
) -> TaskScores:
    """Scores of values of items by metric; a metric without an item becomes None."""
    arrays = {name: np.array(list(each), dtype=np.float64) for name, each in values.items()}
    full = {name: array for name, array in arrays.items() if len(array)}
    empty: dict[str, float | None] = {name: None for name in arrays if name not in full}
    return TaskScores(full, n, {**empty, **(others or {})}, counts or {}, ignored)
