"""Guesses on held-out pairs as HTML: the caption with its holes, the boxes on the image, and what was guessed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from interbert.report.boxed_image import boxed_image
from interbert.report.predictions import MaskedRegion, MaskedToken, PairPredictions, Prediction, share_correct
from interbert.report.svg import key, number
from interbert.search.page import escape, format_probability

_MOST = 12
"""Hidden tokens, and hidden regions, that a card lists."""
_MASK = "[MASK]"


def pair_cards(pairs: Sequence[PairPredictions], keys: Mapping[int, str], images: Mapping[str, str]) -> str:
    """All pairs of a run.

    Args:
        pairs: what was guessed.
        keys: image key of each store row.
        images: CSS class of each image that the page has, by its key.
    """
    counts = ", ".join(f"{name} {correct} of {of}" for name, (correct, of) in share_correct(pairs).items())
    cards = "\n".join(_card(pair, images.get(keys[pair.row])) for pair in pairs)
    return (
        f'<p class="soft">First guess right on these pairs: {escape(counts)}. They are chosen by the hash of their '
        "text, and too few for a figure. A numbered field is what the model had to predict: hidden, or now and then "
        f'left or swapped.</p>\n<div class="pairs">\n{cards}\n</div>'
    )


def _card(pair: PairPredictions, image: str | None) -> str:
    return (
        f'<article class="q pair">{_frame(pair, image)}<div>{_caption(pair)}{_matching(pair)}'
        f"{_tokens(pair.hidden)}{_regions(pair.regions)}</div></article>"
    )


def _frame(pair: PairPredictions, image: str | None) -> str:
    boxes = [(_letter(place), region.box) for place, region in enumerate(pair.regions[:_MOST])]
    return boxed_image(boxes, pair.width, pair.height, f"image of: {pair.text}", image)


def _letter(place: int) -> str:
    return chr(ord("A") + place)


def _caption(pair: PairPredictions) -> str:
    numbers = {token.place: count for count, token in enumerate(pair.hidden, start=1)}
    truths = {token.place: token.truth for token in pair.hidden}
    words = []
    for place, token in enumerate(pair.tokens):
        written = truths.get(place, token)
        glued = written.startswith("##") or (len(written) == 1 and not written.isascii())
        text = "&ensp;&ensp;" if token == _MASK else escape(token.removeprefix("##"))
        shown = f"<mark><sup>{numbers[place]}</sup>{text}</mark>" if place in numbers else text
        words.append(("" if glued or not place else " ") + shown)
    return f'<h3 dir="auto"><span>{"".join(words)}</span></h3>'


def _matching(pair: PairPredictions) -> str:
    own = f"<b>{format_probability(pair.matches)}</b>"
    mismatched = ""
    if pair.mismatched is not None:
        other = pair.mismatched
        mismatched = f'; “<span dir="auto">{escape(other.label)}</span>” {format_probability(other.probability)}'
    return f'<p class="match">Match probability: its own caption {own}{mismatched}</p>'


def _tokens(tokens: Sequence[MaskedToken]) -> str:
    lines = [
        f'<li><span class="truth"><sup>{count}</sup>{escape(token.truth)}</span>'
        f"{_guesses(token.predictions, token.truth)}</li>"
        for count, token in enumerate(tokens[:_MOST], start=1)
    ]
    return _list(lines, len(tokens), "no piece of it was hidden")


def _regions(regions: Sequence[MaskedRegion]) -> str:
    lines = []
    for place, region in enumerate(regions[:_MOST]):
        tag = f'<b class="tag {key(place)}">{_letter(place)}</b>'
        if region.truth is None:
            assert region.error is not None
            assert region.chance is not None
            said = f"squared error {number(region.error)}; the average feature has {number(region.chance)}"
            lines.append(f'<li><span class="truth">{tag}</span><span class="guess">{said}</span></li>')
            continue
        truth = f"{escape(region.truth.label)} <small>{format_probability(region.truth.probability)}</small>"
        lines.append(
            f'<li><span class="truth">{tag}{truth}</span>{_guesses(region.predictions, region.truth.label)}</li>'
        )
    return _list(lines, len(regions), "no region was hidden")


def _guesses(predictions: Sequence[Prediction], truth: str) -> str:
    return "".join(
        f'<span class="guess{" right" if one.label == truth else ""}">{"✓ " if one.label == truth else ""}'
        f"{escape(one.label)} <small>{format_probability(one.probability)}</small></span>"
        for one in predictions
    )


def _list(lines: Sequence[str], count: int, otherwise: str) -> str:
    if not count:
        return f'<p class="match">{otherwise}</p>'
    more = f"<li>and {count - len(lines)} more</li>" if count > len(lines) else ""
    return f'<ul class="guesses">{"".join(lines)}{more}</ul>'
