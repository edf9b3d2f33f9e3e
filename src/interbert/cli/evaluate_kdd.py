"""Rank the candidates of KDD Cup 2020 Multimodalities Recall and write the submission.

CANDIDATES is valid.tsv, testA.tsv or testB.tsv; REGIONS is the store that interbert import kdd-tsv made of it. Each
query's candidates are ranked by the model's fused score, equal ones by their ids. --answers valid_answer.json scores
the ranking as the organisers do: nDCG@5 over every query of the answers, with a bootstrap 95% interval, beside chance.
Candidates without regions in the store rank last, are counted, and stand in --out.

    interbert import kdd-tsv valid.tsv regions/valid
    interbert evaluate kdd models/kdd regions/valid valid.tsv --answers valid_answer.json --predictions submission.csv
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass
class Options:
    """Options of ``interbert evaluate kdd``."""

    model: str
    """Model directory."""
    regions: str
    """Region store of the candidates, made by the model's extractor."""
    candidates: str
    """File of queries and candidates, or a pattern of several."""
    answers: str | None = None
    """File of answers; without it nothing is scored."""
    predictions: str | None = None
    """Submission file to write."""
    out: str | None = None
    """JSON file of metrics to write."""
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    """auto: bf16 where the CPU or GPU multiplies it in hardware; fp32: the same on every machine."""
    bootstrap: int = 1000
    """Resamplings of the queries for the interval."""
    seed: int = 0
    """Seed of the resampling."""


def run(options: Options) -> None:
    """Rank, write, score."""
    from interbert.cli.benchmark_output import require_usable
    from interbert.errors import UsageError
    from interbert.utils.files import KDD_SUBMISSION

    if options.answers is None and options.predictions is None:
        raise UsageError("evaluate kdd: give --answers FILE to score, --predictions FILE to write, or both.")
    require_usable(options, KDD_SUBMISSION)
    _evaluate(options)


def _evaluate(options: Options) -> None:
    from interbert.checkpoints.directory import load_model, load_processor
    from interbert.cli.benchmark_output import description, print_scores, write_metrics
    from interbert.regions.importers.kdd_files import read_answers
    from interbert.regions.schema import ExtractorInfo
    from interbert.regions.store import RegionStore
    from interbert.tasks.kdd import SCORER, score_rankings, submission_text
    from interbert.tasks.kdd_ranking import chance_ndcg, rank_candidates, read_candidates, require_answered
    from interbert.training.model_card import versions
    from interbert.utils.files import KDD_SUBMISSION, write_output
    from interbert.utils.precision import asks_for_bf16
    from interbert.utils.terminal import progress_bar, say

    processor = load_processor(options.model)
    store = RegionStore.open(options.regions)
    store.require(ExtractorInfo.from_dict(processor.extractor_info))
    candidates = read_candidates(options.candidates)
    answers = None if options.answers is None else read_answers(options.answers)
    if answers is not None:
        require_answered(candidates, answers, options.candidates, str(options.answers))
    pairs = sum(map(len, candidates.products.values()))
    with progress_bar("scoring", pairs, "pairs") as advance:
        ranking = rank_candidates(
            load_model(options.model), candidates, store, processor, asks_for_bf16(options.precision), advance
        )
    if ranking.unseen:
        query, product = ranking.unseen[0]
        say(
            f"{len(ranking.unseen)} of {pairs} candidates have no regions in {options.regions} and rank last, such as "
            f"product {product} of query {query}"
        )
    if options.predictions is not None:
        write_output(options.predictions, submission_text(ranking.products), KDD_SUBMISSION)
        say(f"submission of {len(ranking.products)} queries: {options.predictions}")
    scores = None if answers is None else score_rankings(ranking.products, answers)
    chance = None if answers is None else {"ndcg@5": chance_ndcg(candidates, answers)}
    if scores is not None:
        print_scores(SCORER, scores, options.bootstrap, options.seed, chance)
    described = {
        **description("kdd", options, store),
        "queries": len(candidates.texts),
        "candidates": pairs,
        "without_regions": [{"query": query, "product": product} for query, product in ranking.unseen],
        "versions": versions(),
    }
    write_metrics(options.out, described, scores, options.bootstrap, options.seed, chance)


__all__ = ["Options", "run"]
