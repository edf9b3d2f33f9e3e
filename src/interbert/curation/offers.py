"""Promotional words and offers taken out of titles."""

from __future__ import annotations

import re
from collections.abc import Sequence

from interbert.curation.normalise import tidied
from interbert.curation.reasons import Reason
from interbert.curation.word_lists import Found, WordList

# Offers with a number in them. Of 5折 alone nothing is said: 5折 umbrellas have five folds.
_OFFER = re.compile(
    r"满\s?[0-9]{1,5}元?\s?[减送]\s?[0-9]{1,5}元?"
    r"|买(?:[0-9]{1,2}|[一二两三四五六])[送赠发](?:[0-9]{1,2}(?![a-z0-9.])|[一二两三四五六])"
    r"|第[2二两]件[0-9半零]{1,2}[折价元]|(?:低至|全场|享|打|限时)[0-9]{1,2}(?:\.[0-9])?折(?!叠)"
    r"|(?:拍下|下单)?立减[0-9]{1,5}元?|(?<![0-9])[0-9]{1,2}小时内?发货|(?<![0-9])[0-9]{1,5}[套件个箱]起[发批]"
)
OFFER_SIGNS = WordList(
    "signs of offers",
    "",
    (
        *("满", "买一", "买二", "买两", "买三", "买1", "买2", "买3", "第二件", "第2件"),
        *("折", "小时", "起发", "起批", "立减"),
    ),
    (),
    anywhere=True,
)
"""What a title has when offers with a number are to be looked for."""
_EMPTY_BRACKETS = re.compile(r"[(\[{<【《「『〖][\s,、/|·:;!&*~。+-]*[)\]}>】》」』〗]")
_SEPARATORS = " ,、/|·:;!&~。-"


def without_offers(clean: str, text: str, words: Sequence[Found], signs: bool) -> tuple[str, tuple[Reason, ...]]:
    """A title without promotional words and offers, and what was taken out.

    Args:
        clean: the title.
        text: the same in lower case, character by character.
        words: promotional words in it.
        signs: whether one of :data:`OFFER_SIGNS` is in it.
    """
    places = [(one.start, one.end) for one in words]
    if signs:
        places += [one.span() for one in _OFFER.finditer(text)]
    if not places:
        return clean, ()
    pieces: list[str] = []
    taken: list[str] = []
    done = 0
    for start, end in sorted(places):
        if end <= done:
            continue
        pieces.append(clean[done:start])
        taken.append(clean[max(start, done) : end])
        done = end
    pieces.append(clean[done:])
    title = pieces[0]
    for piece in pieces[1:]:
        title = _joined(title, piece.lstrip("!~"))
    for _ in range(3):  # brackets in brackets
        title = _EMPTY_BRACKETS.sub(" ", title)
    return tidied(title).strip(_SEPARATORS), (Reason("promotional_word", ", ".join(taken)),)


def _joined(before: str, after: str) -> str:
    """What stood before and after a word: two Latin words do not become one, and of two equal signs one stays."""
    last, first = before[-1:], after[:1]
    if last.isascii() and first.isascii() and last.isalnum() and first.isalnum():
        return f"{before} {after}"
    return before + (after[1:] if last == first and not first.isalnum() else after)
