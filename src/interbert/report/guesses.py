"""What a model guessed on pairs that it was not trained on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Guess:
    """One answer of the model, or the truth with the probability that the extractor gives it."""

    label: str
    probability: float


@dataclass(frozen=True)
class HiddenPiece:
    """A word piece that was to be predicted.

    Attributes:
        place: among the caption's pieces.
        truth: what stands there.
        guesses: the model's best, best first.
    """

    place: int
    truth: str
    guesses: tuple[Guess, ...]


@dataclass(frozen=True)
class HiddenRegion:
    """A region that was to be predicted.

    Attributes:
        box: x1, y1, x2, y2 in pixels.
        truth: the extractor's top class; None when features are regressed.
        guesses: the model's best classes, best first.
        error: squared error of the feature, where features are regressed.
        chance: squared error of the average feature.
    """

    box: tuple[float, float, float, float]
    truth: Guess | None = None
    guesses: tuple[Guess, ...] = ()
    error: float | None = None
    chance: float | None = None


@dataclass(frozen=True)
class PairGuesses:
    """One pair.

    Attributes:
        row: of the store.
        text: the caption.
        pieces: of the caption, as the model saw them.
        hidden: those that it had to predict.
        regions: those that it had to predict.
        width, height: of the picture, pixels.
        matches: probability that the whole caption belongs to the whole picture.
        wrong: another pair's caption with the probability that it does; None when there is no other.
    """

    row: int
    text: str
    pieces: tuple[str, ...]
    hidden: tuple[HiddenPiece, ...]
    regions: tuple[HiddenRegion, ...]
    width: int
    height: int
    matches: float
    wrong: Guess | None


def share_right(pairs: Sequence[PairGuesses]) -> dict[str, tuple[int, int]]:
    """How often the first guess was right: what -> (right, of how many)."""
    pieces = [piece for pair in pairs for piece in pair.hidden]
    regions = [region for pair in pairs for region in pair.regions if region.truth is not None]
    wrong = [pair.wrong for pair in pairs if pair.wrong is not None]
    matching = [pair.matches > 0.5 for pair in pairs] + [one.probability < 0.5 for one in wrong]
    found = {
        "hidden pieces": [one.guesses[0].label == one.truth for one in pieces],
        "hidden regions": [one.truth is not None and one.guesses[0].label == one.truth.label for one in regions],
        "matches": matching,
    }
    return {name: (sum(right), len(right)) for name, right in found.items() if right}
