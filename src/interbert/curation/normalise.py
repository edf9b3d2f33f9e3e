"""Titles of shops and crawls, written one way. The raw title stays beside the clean one; nothing is dropped here.

In this order: HTML entities and tags, control and invisible characters, Unicode's NFKC without its traps, straight
quotes as an option, white space, repeated punctuation, and, as options, simplified characters and lower case.
"""

from __future__ import annotations

import html
import re
import unicodedata
from dataclasses import dataclass
from functools import cache

from interbert.curation.simplify import Simplifier

MAX_RAW = 4000
"""Characters of a raw title. Of a longer one the beginning is returned as it is: the rules drop it by its length."""


@dataclass(frozen=True)
class NormaliseOptions:
    """How clean titles are written, beyond what is done to all."""

    simplify: bool = False
    """Write traditional Chinese in simplified characters (needs opencc)."""
    straight_quotes: bool = False
    """Write “”, ‘’, 「」, 『』 and «» as straight quotes; bert-base-chinese does not know the first two."""
    lowercase: bool = False
    """Write letters in lower case, for a vocabulary without capitals whose tokenizer does not do it."""


# Entities end with a semicolon, but for the five that shops cut; html.unescape alone takes B&notebook for B¬ebook.
_ENTITY = re.compile(r"&(?:#[0-9]{1,7}|#[xX][0-9a-fA-F]{1,6}|[A-Za-z][A-Za-z0-9]{1,31});|&(?:amp|nbsp|lt|gt|quot)\b")
_ESCAPES = 5
"""An entity can be escaped itself: &amp;amp;nbsp; is two deep."""
# Only names of HTML: <SK-II> and <新品> are brackets of shops.
_TAG = re.compile(
    r"</?(?:a(?=[\s>])|b|br|p|div|span|font|i|em|strong|img|table|tbody|tr|td|th|ul|ol|li|h[1-6]|center|script|style"
    r"|sub|sup|strike|big|small|html|body|input|button|iframe|hr|label|blockquote)\b[^<>]{0,400}>|<!--[^<>]{0,400}-->",
    re.IGNORECASE,
)

_BREAKS = "\t\n\x0b\x0c\r\x1c-\x1f\x85\u2028\u2029"
_INVISIBLE = (
    "\x00-\x1f\x7f-\x9f\xad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u2028-\u202e\u2060-\u206f"
    "\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufffc\ufdd0-\ufdef\ufffe\uffff"
    "\ud800-\udfff\ue000-\uf8ff\U000e0000-\U0010ffff"  # halves of pairs, private use: in no font or vocabulary
)
_UNSEEN = re.compile(f"[{_BREAKS}{_INVISIBLE}]")
_BREAK = re.compile(f"[{_BREAKS}]")
# What emoji and some scripts need stays: joiners after an emoji (families, professions) and after Arabic and Indic
# letters, the sign of a coloured emoji after one.
_EMOJI = "\u2190-\u2bff\u3030\u303d\U0001f000-\U0001faff"
_NOT_NEEDED = re.compile(
    f"(?<![{_EMOJI}\ufe0f\u0600-\u0dff])[\u200c\u200d]|(?<![{_EMOJI}])\ufe0f|[{_INVISIBLE}]".replace(
        "\u200b-\u200f", "\u200b\u200e\u200f"
    ).replace("\ufe00-\ufe0f", "\ufe00-\ufe0e")
)

# NFKC alone makes SK-IITM of SK-II™, 123 of ①②③, 11⁄2 of 1½ and a space with an accent of ´; of dashes and waves it
# knows some, and of the radicals that come from PDF files only those of one block.
_DIGITS = {
    chr(code): f" {unicodedata.numeric(chr(code)):g} " for code in (*range(0x2460, 0x2474), *range(0x2776, 0x2794))
}
_FRACTIONS = {one: f" {unicodedata.normalize('NFKC', one).replace(chr(0x2044), '/')} " for one in "¼½¾⅓⅔⅛⅜⅝⅞"}
_LIKE = dict(
    zip(
        "‐‑‒–—―−〜´ˋ⻓⻋⻔⻜⻢⻥⻛⻄⻩⻰⻝⻚⻅⻁⻉⻘⻨⻮⻆⻤⺠",
        "-------~''长车门飞马鱼风西黄龙食页见虎贝青麦齿角鬼民",
        strict=True,
    )
)
_INSTEAD = {**_DIGITS, **_FRACTIONS, **_LIKE, **dict.fromkeys("™®©℠", "")}
_TRAP = re.compile("[" + "".join(_INSTEAD) + "]")

# Not +, which grades have (A++), nor brackets and quotes; a shop's signs of decoration are one when they are repeated.
_REPEATED = re.compile(r"([-!?。,、~…·.;:_=*#|/\\^@&★☆●◆■▲♥❤✨\u3002])(?:\s?\1)+")
_BEGINNING = " 。,、~·;:|!_*"
_END = f"{_BEGINNING}."
_QUOTES = str.maketrans("“”„‟«»「」『』〝〞‘’‚‛", '""""""""""""' + "''''")


def normalise_title(raw: str, options: NormaliseOptions) -> str:
    """A clean title of a raw one; an empty text when nothing of it can be read.

    Args:
        raw: as the source has it, with whatever characters.
        options: what is done beyond NFKC and the rest.
    Raises:
        MissingExtraError: OpenCC is asked for and not installed.
    """
    if len(raw) > MAX_RAW:
        return _UNSEEN.sub(" ", raw[: MAX_RAW + 1])
    text = _without_markup(raw) if "&" in raw or "<" in raw else raw
    if _UNSEEN.search(text):
        text = _NOT_NEEDED.sub("", _BREAK.sub(" ", text))
    if _TRAP.search(text):
        text = _TRAP.sub(lambda found: _INSTEAD[found.group()], text)
    text = unicodedata.normalize("NFKC", text)
    if options.straight_quotes:
        text = text.translate(_QUOTES)
    text = tidied(text)
    if options.simplify:
        text = _simplifier()(text)
    if options.lowercase:
        text = text.lower()
    return text


def tidied(text: str) -> str:
    """Without white space and punctuation that stand twice, and without those that end and begin no title."""
    if "  " in text:  # breaks, wide and unbreakable spaces are usual ones after NFKC
        text = " ".join(text.split())
    if _REPEATED.search(text):  # a search that finds nothing costs a tenth of a substitution that does
        text = _REPEATED.sub(r"\1", text)
    return text.lstrip(_BEGINNING).rstrip(_END)


def _without_markup(text: str) -> str:
    for _ in range(_ESCAPES):
        plain = _ENTITY.sub(lambda found: html.unescape(found.group()), text)
        if plain == text:
            break
        text = plain
    return _TAG.sub(" ", text)


@cache
def _simplifier() -> Simplifier:
    """Of this process: the dictionaries take a tenth of a second."""
    return Simplifier()
