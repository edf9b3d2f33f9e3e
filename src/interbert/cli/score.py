"""Score a file of predictions against a file of answers, as a benchmark's organisers do; no model is needed.

BENCHMARK is one of these; behind it stand the predictions and the truth, one file of answers or two:

    kdd              KDD Cup 2020 Multimodalities Recall: submission.csv (or a .zip with it), valid_answer.json
    muge             MUGE and the layout of Chinese-CLIP: predictions.jsonl, {split}_texts.jsonl
    vcr              the leaderboard's csv of 21 columns, val.jsonl
    vqa              results JSON, annotations JSON, and questions JSON if they shall be compared
    gqa              predictions JSON, questions JSON or a folder of its parts, and choices JSON if there is one
    nlvr2, nlvr      predictions csv, dev.json (JSON lines)
    snli-ve          predictions .jsonl, snli_ve_dev.jsonl
    refcoco          predictions JSON, folder of refs(unc).p (or refs(umd).p) and instances.json; so refcoco+, refcocog
    flickr-entities  predictions .jsonl, folder of Sentences and Annotations, and a list of images if not its test.txt

A bad file is refused with the row and what is wrong with it. --json prints one object instead of a table, with every
metric from 0 to 1; n, what counts; and ignored, the predictions of what the answers do not have. The keys of each are
listed in docs/benchmarks.md and docs/tasks.md.

    interbert score kdd submission.csv valid_answer.json
    interbert score muge predictions.jsonl valid_texts.jsonl --json
    interbert score gqa val_predictions.json val_all_questions.json val_choices.json --json
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
    truth: list[str]
    """File of answers; two where the list above says so."""
    json: bool = False
    """Print one JSON object alone, without intervals."""
    bootstrap: int = 1000
    """Resamplings of what counts, for the intervals."""
    seed: int = 0
    """Seed of the resampling."""


def run(options: Options) -> None:
    """Score and print."""
    import json
    from pathlib import Path

    from interbert.cli.benchmark_output import print_scores
    from interbert.errors import require_range
    from interbert.tasks.scoring import find_scorer

    require_range("score: --bootstrap", options.bootstrap, 0, 1_000_000)
    require_range("score: --seed", options.seed, 0, 2**32)
    scorer = find_scorer(options.benchmark)
    truths = [Path(one).expanduser() for one in options.truth]
    scores = scorer.score_files(Path(options.predictions).expanduser(), truths)
    if options.json:
        say(json.dumps(scores.to_dict()))
    else:
        print_scores(scorer, scores, options.bootstrap, options.seed)
