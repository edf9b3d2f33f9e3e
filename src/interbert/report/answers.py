"""A classifier's answers for its held-out items, as the report shows them: a confusion matrix and examples."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from interbert.errors import DataError
from interbert.report.runs import Run
from interbert.training.answers import ANSWERS, Answer, Answers

_LABELS = 20
"""More make no matrix that can be read: the most frequent confusions are listed."""
_CONFUSIONS = 20


@dataclass(frozen=True)
class ClassifierAnswers:
    """What the template shows.

    Attributes:
        told: the outcome beside chance.
        labels: rows and columns of the matrix, by frequency; none where they are too many.
        matrix: items by right label (row) and answer (column).
        confusions: (right label, answer, items) of wrong answers, the most frequent first; of too many labels.
        wrong: examples of wrong answers, the surest first.
        right: examples of right answers, the least sure first.
    """

    told: str
    labels: Sequence[str]
    matrix: Sequence[Sequence[int]]
    confusions: Sequence[tuple[str, str, int]]
    wrong: Sequence[Answer]
    right: Sequence[Answer]


def answers_of(run: Run) -> ClassifierAnswers | None:
    """Those of a finished classifier; None of another run.

    Raises:
        DataError: the file is damaged.
    """
    file = run.folder / ANSWERS
    try:
        found = Answers.read(run.folder)
    except (LookupError, TypeError, ValueError) as error:
        raise DataError(f"{file}: is damaged ({error}). Remove it to see the page without it.") from error
    if found is None:
        return None
    counts = {(truth, answer): count for truth, answer, count in found.confusion}
    totals: dict[str, int] = {}
    for (truth, answer), count in counts.items():
        totals[truth] = totals.get(truth, 0) + count
        totals.setdefault(answer, 0)
    labels = sorted(totals, key=lambda one: (-totals[one], one))
    few = len(labels) <= _LABELS
    return ClassifierAnswers(
        found.told(),
        labels if few else (),
        [[counts.get((truth, answer), 0) for answer in labels] for truth in labels] if few else (),
        () if few else [one for one in found.confusion if one[0] != one[1]][:_CONFUSIONS],
        found.wrong,
        found.right_examples,
    )
