"""Guesses on held-out pairs as HTML: the caption with its holes, the boxes on the picture, and what was guessed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from interbert.report.framed import framed_picture
from interbert.report.guesses import Guess, HiddenPiece, HiddenRegion, PairGuesses, share_right
from interbert.report.svg import key, number
from interbert.search.page import escape, format_probability

_MOST = 12
"""Hidden pieces, and hidden regions, that a card lists."""
_MASK = "[MASK]"


def pair_cards(pairs: Sequence[PairGuesses], keys: Mapping[int, str], pictures: Mapping[str, str]) -> str:
    """All pairs of a run.

    Args:
        pairs: what was guessed.
        keys: picture key of each store row.
        pictures: CSS class of each picture that the page has, by its key.
    """
    counts = ", ".join(f"{name} {right} of {of}" for name, (right, of) in share_right(pairs).items())
    cards = "\n".join(_card(pair, pictures.get(keys[pair.row])) for pair in pairs)
    return (
        f'<p class="soft">First guess right on these pairs: {escape(counts)}. They are chosen by the hash of their '
        "text, and too few for a figure. A numbered field is what the model had to predict: hidden, or now and then "
        f'left or swapped.</p>\n<div class="pairs">\n{cards}\n</div>'
    )


def _card(pair: PairGuesses, picture: str | None) -> str:
    return (
        f'<article class="q pair">{_frame(pair, picture)}<div>{_caption(pair)}{_matching(pair)}'
        f"{_pieces(pair.hidden)}{_regions(pair.regions)}</div></article>"
    )


def _frame(pair: PairGuesses, picture: str | None) -> str:
    boxes = [(_letter(place), region.box) for place, region in enumerate(pair.regions[:_MOST])]
    return framed_picture(boxes, pair.width, pair.height, f"picture of: {pair.text}", picture)


def _letter(place: int) -> str:
    return chr(ord("A") + place)


def _caption(pair: PairGuesses) -> str:
    numbers = {piece.place: count for count, piece in enumerate(pair.hidden, start=1)}
    truths = {piece.place: piece.truth for piece in pair.hidden}
    words = []
    for place, piece in enumerate(pair.pieces):
        written = truths.get(place, piece)
        glued = written.startswith("##") or (len(written) == 1 and not written.isascii())
        text = "&ensp;&ensp;" if piece == _MASK else escape(piece.removeprefix("##"))
        shown = f"<mark><sup>{numbers[place]}</sup>{text}</mark>" if place in numbers else text
        words.append(("" if glued or not place else " ") + shown)
    return f'<h3 dir="auto"><span>{"".join(words)}</span></h3>'


def _matching(pair: PairGuesses) -> str:
    own = f"<b>{format_probability(pair.matches)}</b>"
    wrong = ""
    if pair.wrong is not None:
        wrong = f'; “<span dir="auto">{escape(pair.wrong.label)}</span>” {format_probability(pair.wrong.probability)}'
    return f'<p class="match">Match probability: its own caption {own}{wrong}</p>'


def _pieces(pieces: Sequence[HiddenPiece]) -> str:
    lines = [
        f'<li><span class="truth"><sup>{count}</sup>{escape(piece.truth)}</span>'
        f"{_guesses(piece.guesses, piece.truth)}</li>"
        for count, piece in enumerate(pieces[:_MOST], start=1)
    ]
    return _list(lines, len(pieces), "no piece of it was hidden")


def _regions(regions: Sequence[HiddenRegion]) -> str:
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
        lines.append(f'<li><span class="truth">{tag}{truth}</span>{_guesses(region.guesses, region.truth.label)}</li>')
    return _list(lines, len(regions), "no region was hidden")


def _guesses(guesses: Sequence[Guess], truth: str) -> str:
    return "".join(
        f'<span class="guess{" right" if one.label == truth else ""}">{"✓ " if one.label == truth else ""}'
        f"{escape(one.label)} <small>{format_probability(one.probability)}</small></span>"
        for one in guesses
    )


def _list(lines: Sequence[str], count: int, otherwise: str) -> str:
    if not count:
        return f'<p class="match">{otherwise}</p>'
    more = f"<li>and {count - len(lines)} more</li>" if count > len(lines) else ""
    return f'<ul class="guesses">{"".join(lines)}{more}</ul>'
