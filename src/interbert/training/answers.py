"""What a finished classifier answers for its held-out items: the confusion matrix and examples, for its report.

Shapes: n items, L labels.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import softmax

from interbert.utils.bounded_files import read_json
from interbert.utils.files import atomic_write

ANSWERS = "validation_answers.json"
_EXAMPLES = 12
"""Right ones and wrong ones that are kept, of each."""
_LONGEST = 300
"""Characters of an example's text."""


@dataclass(frozen=True)
class Answer:
    """One held-out item.

    Attributes:
        row: of the source, from 0.
        text: its beginning; "" of an image.
        label: the right one.
        answer: the model's.
        probability: of that answer.
    """

    row: int
    text: str
    label: str
    answer: str
    probability: float


@dataclass(frozen=True)
class Answers:
    """All held-out items together.

    Attributes:
        items: how many.
        right: of them answered rightly.
        majority: items with the label that most of them have: what is right without looking.
        confusion: (right label, answer, items), the most frequent first.
        wrong: examples of wrong answers, the surest first.
        right_examples: of right answers, the least sure first.
    """

    items: int
    right: int
    majority: int
    confusion: tuple[tuple[str, str, int], ...]
    wrong: tuple[Answer, ...]
    right_examples: tuple[Answer, ...]

    @classmethod
    def of(
        cls,
        labels: Sequence[str],
        truth: Sequence[int],
        logits: NDArray[np.floating],
        rows: Sequence[int],
        texts: Sequence[str] | None,
    ) -> Answers:
        """From logits.

        Args:
            labels: [L], in the order of the logits.
            truth: [n] place of each item's label.
            logits: [n,L].
            rows: [n] of the source.
            texts: [n]; None of images.
        """
        best = logits.argmax(axis=1)
        probability = softmax(logits.astype(np.float64), axis=1).max(axis=1)
        pairs, counts = np.unique(np.stack([np.array(truth), best], axis=1), axis=0, return_counts=True)
        order = np.argsort(-counts, kind="stable")
        right = best == np.array(truth)

        def examples(chosen: NDArray[np.bool_], sign: float) -> tuple[Answer, ...]:
            places = np.flatnonzero(chosen)
            places = places[np.argsort(sign * probability[places], kind="stable")][:_EXAMPLES]
            return tuple(
                Answer(
                    int(rows[one]),
                    "" if texts is None else texts[one][:_LONGEST],
                    labels[truth[one]],
                    labels[best[one]],
                    round(float(probability[one]), 4),
                )
                for one in places.tolist()
            )

        return cls(
            len(truth),
            int(right.sum()),
            int(np.bincount(truth).max()),
            tuple((labels[pairs[one, 0]], labels[pairs[one, 1]], int(counts[one])) for one in order.tolist()),
            examples(~right, -1.0),
            examples(right, 1.0),
        )

    def told(self) -> str:
        """The outcome beside chance, in a line."""
        answered = f"{100 * self.right / self.items:.1f}% of {self.items:,} held-out items are answered rightly"
        return f"{answered}; the most frequent label alone would be for {100 * self.majority / self.items:.1f}%"

    def write(self, folder: Path) -> None:
        """Keep them in a model directory."""
        atomic_write(folder / ANSWERS, json.dumps(asdict(self), ensure_ascii=False) + "\n")

    @classmethod
    def read(cls, folder: Path) -> Answers | None:
        """Those of a model directory; None where there are none.

        Raises:
            LookupError, TypeError, ValueError: the file is damaged.
        """
        file = folder / ANSWERS
        if not file.is_file():
            return None
        values: Mapping[str, Any] = read_json(file)
        return cls(
            int(values["items"]),
            int(values["right"]),
            int(values["majority"]),
            tuple((str(truth), str(answer), int(count)) for truth, answer, count in values["confusion"]),
            tuple(Answer(**one) for one in values["wrong"]),
            tuple(Answer(**one) for one in values["right_examples"]),
        )
