"""The service's numbers as plain values, for a page that people read: totals and means since the start."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from prometheus_client import Counter, Gauge, Histogram

from interbert.service.metrics import Metrics

Labels = tuple[str, ...]
"""Values of a metric's labels, in their order."""


@dataclass
class Observed:
    """What a histogram has seen since the start, with one set of labels."""

    count: int = 0
    total: float = 0.0
    """Sum of what was observed: seconds, or requests of a batch."""
    buckets: list[tuple[float, float]] = field(default_factory=list)
    """(upper bound, observations up to it), ascending; the last bound is infinite."""

    @property
    def mean(self) -> float | None:
        """Of what was observed; None: nothing was."""
        return self.total / self.count if self.count else None

    def quantile(self, share: float) -> float | None:
        """The value that a share of the observations does not exceed, interpolated within its bucket as Prometheus'
        ``histogram_quantile`` does; the largest finite bound for what lies above it, None when nothing was observed.
        """
        wanted, lower, below = share * self.count, 0.0, 0.0
        for bound, count in self.buckets if self.count else ():
            if count >= wanted and count > below:
                return lower if math.isinf(bound) else lower + (bound - lower) * (wanted - below) / (count - below)
            lower, below = bound, count
        return None


def counted(metric: Counter | Gauge) -> dict[Labels, float]:
    """Values of a counter or gauge by the values of its labels."""
    return {labels: value for name, labels, _, value in _samples(metric) if not name.endswith("_created")}


def observed(metric: Histogram) -> dict[Labels, Observed]:
    """What a histogram has seen, by the values of its labels."""
    found: dict[Labels, Observed] = defaultdict(Observed)
    for name, labels, bound, value in _samples(metric):
        if name.endswith("_count"):
            found[labels].count = int(value)
        elif name.endswith("_sum"):
            found[labels].total = value
        elif bound is not None:
            found[labels].buckets.append((bound, value))
    return dict(found)


def by_label(values: Mapping[Labels, float], first: str | None = None) -> dict[str, int]:
    """Counts by the last label, of those whose first label is ``first``; sums where others differ."""
    found: dict[str, int] = {}
    for labels, value in values.items():
        if first is None or labels[0] == first:
            found[labels[-1]] = found.get(labels[-1], 0) + int(value)
    return found


def queue_numbers(metrics: Metrics) -> list[dict[str, object]]:
    """Each queue: requests that wait now, batches since the start and how large they were."""
    batches = observed(metrics.batch_size)
    return [
        {"name": labels[0], "waiting": int(length), **_batches(batches.get(labels, Observed()))}
        for labels, length in counted(metrics.queue_length).items()
    ]


def second_numbers(metric: Histogram, name: str) -> list[dict[str, object]]:
    """Times of a histogram with one label, in milliseconds; those that were observed most often first."""
    rows = sorted(observed(metric).items(), key=lambda one: -one[1].count)
    return [
        {name: labels[0], "count": one.count} | {key: _milliseconds(value) for key, value in _times(one)}
        for labels, one in rows
        if one.count
    ]


def _batches(one: Observed) -> dict[str, object]:
    mean = None if one.mean is None else round(one.mean, 2)
    return {"batches": one.count, "requests": int(one.total), "mean_batch": mean}


def _times(one: Observed) -> Sequence[tuple[str, float | None]]:
    return (("mean_ms", one.mean), ("p50_ms", one.quantile(0.5)), ("p95_ms", one.quantile(0.95)))


def _milliseconds(seconds: float | None) -> float | None:
    return None if seconds is None else round(1000 * seconds, 2)


def _samples(metric: Counter | Gauge | Histogram) -> Iterator[tuple[str, Labels, float | None, float]]:
    """(name, values of labels, upper bound of a bucket, value)."""
    for family in metric.collect():
        for sample in family.samples:
            labels = tuple(value for name, value in sample.labels.items() if name != "le")
            bound = sample.labels.get("le")
            yield sample.name, labels, None if bound is None else float(bound), sample.value
