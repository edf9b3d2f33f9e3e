"""What verbs of benchmarks check, print and write."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, Protocol

from rich.box import SIMPLE

from interbert.cli.tables import TextTable, print_table
from interbert.errors import require_range
from interbert.tasks.scoring import Scored, Scorer, Scores
from interbert.utils.files import BENCHMARK_METRICS, Kind, require_apart, require_replaceable, write_output
from interbert.utils.redaction import published
from interbert.utils.terminal import say

if TYPE_CHECKING:
    from interbert.regions.store import RegionStore  # Lance, which scoring files needs not

_WIDTH = 100


class BenchmarkOptions(Protocol):
    """What verbs that rank for a benchmark have in common."""

    model: str
    regions: str
    predictions: str | None
    out: str | None
    precision: Any
    bootstrap: int
    seed: int


def require_usable(options: BenchmarkOptions, predictions: Kind) -> None:
    """Check, before anything is ranked, numbers and the files that are to be written.

    Raises:
        UsageError: a number is out of range, or a file of another kind would be replaced.
    """
    require_range("evaluate: --bootstrap", options.bootstrap, 0)
    require_range("evaluate: --seed", options.seed, 0, 2**32)
    require_apart({"--predictions": options.predictions, "--out": options.out})
    require_replaceable(options.predictions, predictions)
    require_replaceable(options.out, BENCHMARK_METRICS)


def description(benchmark: str, options: BenchmarkOptions, store: RegionStore) -> dict[str, Any]:
    """What was ranked, and by what, for :func:`write_metrics`."""
    return {
        "benchmark": benchmark,
        "model": published(options.model),
        "regions": published(options.regions),
        "regions_fingerprint": store.fingerprint,
        "precision": options.precision,
    }


def print_scores(
    scorer: Scorer, scores: Scored, bootstrap: int, seed: int, chance: Mapping[str, float] | None = None
) -> None:
    """Every metric, with its interval where it is a mean, and beside it chance where that is known."""
    say(f"{scorer.name}: {scores.n} {scorer.queries}")
    table = TextTable(box=SIMPLE, padding=(0, 2, 0, 0))
    for header in ("from 0 to 1", "value", "95% bootstrap interval", *(["chance"] if chance else [])):
        table.add_column(header)
    for name, one in scores.intervals(bootstrap, seed).items():
        cells = [name, f"{one.value:.4f}", f"[{one.low:.4f}, {one.high:.4f}]"]
        table.add_row(*cells, *([f"{chance[name]:.4f}"] if chance else []))
    for name, value in scores.others.items():
        table.add_row(name, "not known" if value is None else f"{value:.4f}", "")
    print_table(table, _WIDTH)
    if scores.counts:
        say(", ".join(f"{name} {count}" for name, count in scores.counts.items()))
    if scores.ignored:
        say(f"{scores.ignored} predictions are of {scorer.queries} that the answers do not have, and are left out")


def write_metrics(
    path: str | None,
    described: Mapping[str, Any],
    scores: Scores | None,
    bootstrap: int,
    seed: int,
    chance: Mapping[str, float] | None,
) -> None:
    """Write metrics as JSON, where that is wanted.

    Args:
        path: file to write; None writes nothing.
        described: what was ranked: benchmark, model, regions and so on.
        scores: None where the answers are held back.
        bootstrap, seed: of the intervals.
        chance: of a random order.
    """
    if path is None:
        return
    found: dict[str, Any] = {}
    if scores is not None:
        intervals = {name: asdict(one) for name, one in scores.intervals(bootstrap, seed).items()}
        found = {**scores.to_dict(), "intervals": intervals, "chance": dict(chance or {})}
    write_output(path, json.dumps({**described, **found}, indent=2, ensure_ascii=False) + "\n", BENCHMARK_METRICS)
    say(f"metrics: {path}")
