"""Score a file of predictions against a file of answers, as a benchmark's organisers do; no model is needed.

BENCHMARK is one of:

    kdd    KDD Cup 2020 Multimodalities Recall: submission.csv (or a .zip with it) and valid_answer.json; nDCG@5
    muge   MUGE and the layout of Chinese-CLIP: predictions.jsonl and {split}_texts.jsonl; R@1/5/10 and mean recall

A bad file is refused with the row and what is wrong with it. --json prints one object instead of a table, with every
metric from 0 to 1: ndcg@5 (kdd) or r@1, r@5, r@10, mean_recall (muge); n, the queries; and ignored, the predictions of
queries that the answers do not have.

    interbert score kdd submission.csv valid_answer.json
    interbert score muge predictions.jsonl valid_texts.jsonl --json
"""

from __future__ import annotations

from dataclasses import dataclass

from interbert.utils.terminal import say


@dataclass
class Options:
    """Options of ``interbert score``."""

    benchmark: str
    """Whose files they are; the list stands above."""
    predictions: str
    """File of predictions."""
    truth: str
    """File of answers."""
    json: bool = False
    """Print one JSON object alone, without intervals."""
    bootstrap: int = 1000
    """Resamplings of the queries for the intervals."""
    seed: int = 0
    """Seed of the resampling."""


def run(options: Options) -> None:
    """Score and print."""
    import json
    from pathlib import Path

    from interbert.cli.benchmark_output import print_scores
    from interbert.errors import require_range
    from interbert.tasks.scoring import find_scorer

    require_range("score: --bootstrap", options.bootstrap, 0)
    require_range("score: --seed", options.seed, 0, 2**32)
    scorer = find_scorer(options.benchmark)
    scores = scorer.score(Path(options.predictions).expanduser(), Path(options.truth).expanduser())
    if options.json:
        say(json.dumps(scores.to_dict()))
    else:
        print_scores(scorer, scores, options.bootstrap, options.seed)
