"""What a model guessed on pairs that it was not trained on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Prediction:
    """One answer of the model, or the truth with the probability that the extractor gives it."""

    label: str
    probability: float


@dataclass(frozen=True)
class MaskedToken:
    """A token that was to be predicted.

    Attributes:
        place: among the caption's tokens.
        truth: what stands there.
        guesses: the model's best, best first.
    """

    place: int
    truth: str
    predictions: tuple[Prediction, ...]


@dataclass(frozen=True)
class MaskedRegion:
    """A region that was to be predicted.

    Attributes:
        box: x1, y1, x2, y2 in pixels.
        truth: the extractor's top class; None when features are regressed.
        guesses: the model's best classes, best first.
        error: squared error of the feature, where features are regressed.
        chance: squared error of the average feature.
    """

    box: tuple[float, float, float, float]
    truth: Prediction | None = None
    predictions: tuple[Prediction, ...] = ()
    error: float | None = None
    chance: float | None = None


@dataclass(frozen=True)
class PairPredictions:
    """One pair.

    Attributes:
        row: of the store.
        text: the caption.
        tokens: of the caption, as the model saw them.
        hidden: those that it had to predict.
        regions: those that it had to predict.
        width, height: of the image, pixels.
        matches: probability that the whole caption belongs to the whole image.
        wrong: another pair's caption with the probability that it does; None when there is no other.
    """

    row: int
    text: str
    tokens: tuple[str, ...]
    hidden: tuple[MaskedToken, ...]
    regions: tuple[MaskedRegion, ...]
    width: int
    height: int
    matches: float
    mismatched: Prediction | None


def share_correct(pairs: Sequence[PairPredictions]) -> dict[str, tuple[int, int]]:
    """How often the first guess was right: what -> (right, of how many)."""
    tokens = [token for pair in pairs for token in pair.hidden]
    regions = [region for pair in pairs for region in pair.regions if region.truth is not None]
    mismatched = [pair.mismatched for pair in pairs if pair.mismatched is not None]
    matching = [pair.matches > 0.5 for pair in pairs] + [one.probability < 0.5 for one in mismatched]
    found = {
        "hidden tokens": [one.predictions[0].label == one.truth for one in tokens],
        "hidden regions": [one.truth is not None and one.predictions[0].label == one.truth.label for one in regions],
        "matches": matching,
    }
    return {name: (sum(correct), len(correct)) for name, correct in found.items() if correct}
