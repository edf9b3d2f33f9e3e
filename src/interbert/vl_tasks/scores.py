"""What predictions of a task are worth."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from interbert.tasks.metrics import Estimate, estimates

Floats = NDArray[np.floating]


@dataclass(frozen=True)
class TaskScores:
    """Metrics of a task, from 0 to 1."""

    of_items: Mapping[str, Floats]
    """Metric -> its value of each item [its own number of items]; the metric is their mean, None where there is no item."""
    n: int
    """Items that count: questions, sentences, phrases."""
    others: Mapping[str, float | None] = field(default_factory=dict)
    """Metrics that are no mean of items, which therefore have no interval."""
    counts: Mapping[str, int] = field(default_factory=dict)
    """``n_testA``, ``left_out`` and so on."""
    ignored: int = 0
    """Predictions of items that the truth does not have, where the organisers pass over them."""

    def to_dict(self) -> dict[str, float | int | None]:
        """Metrics, ``n``, counts and ``ignored``, for JSON."""
        means = {name: float(values.mean()) if len(values) else None for name, values in self.of_items.items()}
        return {**means, **self.others, "n": self.n, **self.counts, "ignored": self.ignored}

    def intervals(self, bootstrap: int = 1000, seed: int = 0) -> dict[str, Estimate]:
        """Every mean over items, with its 95% bootstrap interval; those without an item are left out."""
        found: dict[str, Estimate] = {}
        for name, values in self.of_items.items():
            if len(values):
                found |= estimates({name: values}, bootstrap, seed)
        return found
