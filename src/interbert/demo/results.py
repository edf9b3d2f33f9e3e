"""What the demo measured and found, between the step that ranks and the step that draws the page."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from scipy.special import expit

from interbert.atomic_write import atomic_write
from interbert.bounded_files import read_json, reading
from interbert.demo.page import Interval, LanguageResult
from interbert.report.parts import QueryResult, by_hash
from interbert.tasks.evaluation import RetrievalReport
from interbert.tasks.metrics import best_ranks
from interbert.tasks.retrieval import RetrievalSet


@dataclass(frozen=True)
class LanguageOutcome:
    """One language: what was measured, what is shown, and the whole report for ``results.json``."""

    result: LanguageResult
    queries: tuple[QueryResult, ...]
    report: Mapping[str, Any]


def language_outcome(
    name: str, data: RetrievalSet, report: RetrievalReport, keys: Sequence[str], shown: int, hits: int
) -> LanguageOutcome:
    """Gather one language's outcome.

    The queries shown are the first ones by the hash of their text, so that nobody can have picked the good ones.

    Args:
        name: of the language.
        data: texts and images.
        report: of the full ranking.
        keys: name of each image.
        shown: queries on the page.
        hits: images shown for each.
    """
    joint = report.joint.text_to_image
    result = LanguageResult(
        name=name,
        recalls={k: Interval(one.value / 100, one.low / 100, one.high / 100) for k, one in joint.recall.items()},
        median_rank=joint.median_rank,
        chance={k: value / 100 for k, value in joint.chance.items()},
        shuffled={k: one.value / 100 for k, one in report.shuffled.recall.items()},
        queries=joint.n,
        candidates=joint.candidates,
        mean_image={k: one.value / 100 for k, one in report.mean_image.recall.items()},
    )
    ranks = best_ranks(report.scores, data.relevant)
    queries = []
    for text in by_hash(data.texts)[:shown]:
        line = report.scores[text].astype(np.float64)
        best = np.argsort(-line, kind="stable")[:hits]
        queries.append(
            QueryResult(
                text=data.texts[text],
                relevant=frozenset(keys[image] for image in np.flatnonzero(data.relevant[text]).tolist()),
                rank=int(ranks[text]),
                hits=tuple((keys[image], float(expit(line[image]))) for image in best.tolist()),
            )
        )
    return LanguageOutcome(result, tuple(queries), report.to_dict())


def write_outcomes(path: Path, outcomes: Sequence[LanguageOutcome]) -> None:
    """Write ``results.json``."""
    records = [
        {
            "result": asdict(one.result),
            "report": dict(one.report),
            "queries": [asdict(query) | {"relevant": sorted(query.relevant)} for query in one.queries],
        }
        for one in outcomes
    ]
    atomic_write(path, json.dumps(records, ensure_ascii=False, indent=1) + "\n")


def read_outcomes(path: Path) -> list[LanguageOutcome]:
    """Inverse of :func:`write_outcomes`.

    Raises:
        DataError: the file is not there or damaged.
    """
    with reading(path, "Remove it, and run the demo again."):
        return [_outcome(record) for record in read_json(path)]


def _outcome(record: Any) -> LanguageOutcome:
    result = record["result"]
    recalls = {name: Interval(**values) for name, values in result["recalls"].items()}
    queries = [
        QueryResult(
            one["text"], frozenset(one["relevant"]), one["rank"], tuple((key, value) for key, value in one["hits"])
        )
        for one in record["queries"]
    ]
    return LanguageOutcome(LanguageResult(**(result | {"recalls": recalls})), tuple(queries), record["report"])
