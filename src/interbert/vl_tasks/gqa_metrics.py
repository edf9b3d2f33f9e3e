"""Metrics of GQA as its organisers compute them (Hudson and Manning 2019, section 4.4, and the published code)."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from interbert.vl_tasks.example import Example
from interbert.vl_tasks.scores import TaskScores, task_scores

Choices = Mapping[str, tuple[frozenset[str], frozenset[str]]]
"""Question id -> valid answers, plausible answers."""
_COMMON = frozenset(("color", "material", "shape"))
"""Valid answers of questions for what two objects have in common, whatever the file of choices says."""


def metrics(
    predictions: Mapping[str, str], examples: Sequence[Example], choices: Choices | None = None, ignored: int = 0
) -> TaskScores:
    """Metrics over the balanced questions, as the organisers compute them.

    ``accuracy``; ``binary`` and ``open``, that of both kinds of questions; ``validity`` and ``plausibility`` where
    choices are given; ``consistency``: over the questions that are answered right and entail others, the share of those
    that are right, too (None where entailed questions or predictions of them are not at hand: it needs the file of all
    questions); ``distribution``: chi-square of predicted against right answers, averaged over groups by their size and
    divided by 100, where lower is better and 1 no bound (None where no question has a group).

    Args:
        predictions: of every balanced example, by id.
        examples: with their answers; balanced ones count.
        choices: by question id; of every balanced example.
        ignored: predictions of other questions, for the count.
    """
    right = {one.id: predictions.get(one.id) in _answers(one) for one in examples}
    counted = [one for one in examples if one.details["balanced"]]
    values: dict[str, list[float]] = {"accuracy": [float(right[one.id]) for one in counted], "binary": [], "open": []}
    for one in counted:
        values["open" if one.details["structural"] == "query" else "binary"].append(float(right[one.id]))
    if choices is not None:
        for name, place in (("validity", 0), ("plausibility", 1)):
            values[name] = [_belongs(predictions[one.id], one, choices[one.id][place]) for one in counted]
    others: dict[str, float | None] = {"distribution": _distribution(predictions, counted)}
    consistency = _consistency(counted, right, predictions)
    if consistency is None:
        others["consistency"] = None
    else:
        values["consistency"] = consistency
    counts = {"n_consistency": len(consistency or ())}
    return task_scores(values, len(counted), others, counts, ignored)


def _answers(example: Example) -> Mapping[str, float]:
    assert isinstance(example.target, Mapping)
    return example.target


def _belongs(predicted: str, example: Example, choices: frozenset[str]) -> float:
    common = "Common" in str(example.details["detailed"])
    return float(predicted in (_COMMON if common else choices))


def _consistency(
    counted: Sequence[Example], right: Mapping[str, bool], predictions: Mapping[str, str]
) -> list[float] | None:
    shares = []
    for one in counted:
        entailed = [name for name in one.details["entailed"] if name != one.id]
        if any(name not in right or name not in predictions for name in entailed):
            return None
        if right[one.id] and entailed:
            shares.append(sum(right[name] for name in entailed) / len(entailed))
    return shares


def _distribution(predictions: Mapping[str, str], counted: Sequence[Example]) -> float | None:
    told: dict[Any, Counter[str]] = defaultdict(Counter)
    said: dict[Any, Counter[str]] = defaultdict(Counter)
    for one in counted:
        if (group := one.details["group"]) is not None:
            told[group].update(_answers(one).keys())
            said[group][predictions[one.id]] += 1
    if not told:
        return None
    sizes = {group: counts.total() for group, counts in told.items()}
    chi_square = {
        group: sum((said[group][answer] - count) ** 2 / count for answer, count in counts.items())
        for group, counts in told.items()
    }
    return sum(chi_square[group] * size for group, size in sizes.items()) / sum(sizes.values()) / 100
