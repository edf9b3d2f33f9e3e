"""What verbs of benchmarks print and write."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from rich.box import SIMPLE

from interbert.cli.tables import TextTable, print_table
from interbert.tasks.scoring import Scorer, Scores
from interbert.utils.files import BENCHMARK_METRICS, write_output
from interbert.utils.terminal import say

_WIDTH = 100


def print_scores(
    scorer: Scorer, scores: Scores, bootstrap: int, seed: int, chance: Mapping[str, float] | None = None
) -> None:
    """Every metric with its interval, and beside it chance where that is known."""
    say(f"{scorer.name}: {scores.n} {scorer.queries}")
    table = TextTable(box=SIMPLE, padding=(0, 2, 0, 0))
    for header in ("from 0 to 1", "value", "95% bootstrap interval", *(["chance"] if chance else [])):
        table.add_column(header)
    for name, one in scores.intervals(bootstrap, seed).items():
        cells = [name, f"{one.value:.4f}", f"[{one.low:.4f}, {one.high:.4f}]"]
        table.add_row(*cells, *([f"{chance[name]:.4f}"] if chance else []))
    print_table(table, _WIDTH)
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
