"""Predictions on held-out pairs for a page: the caption with its holes, the boxes on the image, and the guesses."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from interbert.report.predictions import MaskedRegion, MaskedToken, PairPredictions, share_correct

_MOST = 12
"""Hidden tokens, and hidden regions, that a card lists."""
_MASK = "[MASK]"


@dataclass(frozen=True)
class PairCard:
    """One pair as ``pairs.html`` shows it.

    Attributes:
        pair: the predictions.
        image: its key.
    """

    pair: PairPredictions
    image: str

    @property
    def words(self) -> Iterator[tuple[str, int | None, str]]:
        """Space before, number if it was to be predicted, and text of each of the caption's tokens."""
        numbers = {token.place: count for count, token in enumerate(self.pair.hidden, start=1)}
        truths = {token.place: token.truth for token in self.pair.hidden}
        for place, token in enumerate(self.pair.tokens):
            written = truths.get(place, token)
            glued = written.startswith("##") or (len(written) == 1 and not written.isascii())
            text = "\u2002\u2002" if token == _MASK else token.removeprefix("##")
            yield "" if glued or not place else " ", numbers.get(place), text

    @property
    def tokens(self) -> Sequence[MaskedToken]:
        """Those that are listed."""
        return self.pair.hidden[:_MOST]

    @property
    def regions(self) -> list[tuple[str, MaskedRegion]]:
        """Letter and region of those that are listed."""
        return [(chr(ord("A") + place), region) for place, region in enumerate(self.pair.regions[:_MOST])]

    @property
    def boxes(self) -> list[tuple[str, tuple[float, float, float, float]]]:
        """Letter and box of the same."""
        return [(letter, region.box) for letter, region in self.regions]


@dataclass(frozen=True)
class PairCards:
    """All pairs of a run.

    Attributes:
        shown: a card of each.
        correct: how often the first guess was right, in words.
    """

    shown: Sequence[PairCard]
    correct: str

    @classmethod
    def of(cls, pairs: Sequence[PairPredictions], keys: Mapping[int, str]) -> PairCards:
        """Of predictions, and the image key of each store row."""
        counts = (f"{name} {correct} of {of}" for name, (correct, of) in share_correct(pairs).items())
        return cls([PairCard(pair, keys[pair.row]) for pair in pairs], ", ".join(counts))
