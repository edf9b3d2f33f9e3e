"""Terms of titles and queries, which full text counts: words, numbers, and characters and pairs of Chinese.

Titles and queries go through the same function, so that nothing depends on how a longer text would be segmented:
"橄榄绿帽子 AX3000" -> 橄 榄 绿 帽 子 橄榄 榄绿 绿帽 帽子 ax3000 ax 3000. Words are stemmed afterwards, by the index.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable
from itertools import pairwise

from interbert.errors import MissingExtraError

try:
    import regex
except ImportError as missing:
    raise MissingExtraError.of("regex", "search") from missing

_DENSE = r"[\p{Han}\p{Hiragana}\p{Katakana}\p{Hangul}\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}\u30fc]"
"""Scripts written without spaces between words, or, as Korean, with what belongs to a word attached to it."""
RUN = regex.compile(
    rf"(?P<dense>{_DENSE}+)|"
    rf"(?:(?!{_DENSE})[\p{{L}}\p{{M}}]|\p{{N}}|(?<=\p{{L}})['’](?=\p{{L}})|(?<=\p{{N}})[.,](?=\p{{N}}))+"
)
"""A word, a number or both together; or characters of a script without spaces, which are the group ``dense``."""
_PART = regex.compile(r"[\p{L}\p{M}'’]+|\p{N}+(?:[.,]\p{N}+)*")
_LONGEST = 36
"""Bytes of a term's UTF-8: LanceDB leaves out terms of more than 40."""
_QUERY_CHARACTERS = 2560
_QUERY_TERMS = 256

_LANGUAGES = {
    "ar": "Arabic",
    "da": "Danish",
    "de": "German",
    "el": "Greek",
    "en": "English",
    "es": "Spanish",
    "fi": "Finnish",
    "fr": "French",
    "hu": "Hungarian",
    "it": "Italian",
    "nl": "Dutch",
    "no": "Norwegian",
    "pt": "Portuguese",
    "ro": "Romanian",
    "ru": "Russian",
    "sv": "Swedish",
    "ta": "Tamil",
    "tr": "Turkish",
}
"""Languages that LanceDB has a stemmer for, by ISO 639-1."""
_NO_WORDS = frozenset({"zh", "ja", "ko", "th", "lo", "km", "my"})
"""Languages that are read by characters and have nothing to stem."""


def terms_of(text: str) -> list[str]:
    """Terms of a text in order, with repetitions.

    A run of letters and digits is a term, and so is each of its parts: "AX3000" -> ax3000, ax, 3000. A run in a script
    without spaces gives its characters and pairs of neighbours.
    """
    terms: list[str] = []
    for found in RUN.finditer(unicodedata.normalize("NFKC", text).lower()):
        run = found.group()
        if found["dense"] is not None:
            terms += [*run, *(first + second for first, second in pairwise(run))]
            continue
        run = run.replace("’", "'")
        parts = _PART.findall(run)
        terms += [_cut(one) for one in ([run, *parts] if len(parts) > 1 else [run])]
    return terms


def stored_terms(texts: Iterable[str]) -> str:
    """What full text reads of an image's texts: their terms, separated by spaces."""
    return " ".join(term for text in texts for term in terms_of(text))


def query_terms(text: str) -> str:
    """What full text looks for: each term of a query once; of a very long one the first."""
    return " ".join(list(dict.fromkeys(terms_of(text[:_QUERY_CHARACTERS])))[:_QUERY_TERMS])


def stemming_language(columns: Iterable[str]) -> str:
    """The language by which an index reduces words to their stems, in LanceDB's spelling.

    An index has one: that of its text columns by the ends of their names, ``title_de`` or ``name-fr``; English for
    columns that do not say, and where one of several is English. Columns such as ``title_zh`` have nothing to stem.

    Args:
        columns: names of the text columns.
    """
    codes = [next((code for code in _codes(name) if code in _LANGUAGES or code in _NO_WORDS), "en") for name in columns]
    spoken = [code for code in codes if code not in _NO_WORDS]
    return "English" if not spoken or "en" in spoken else _LANGUAGES[spoken[0]]


def _codes(name: str) -> list[str]:
    """What may say the language at the end of a column's name, the last first: "title_de_AT" -> at, de."""
    return [part.lower() for part in regex.split(r"[\W_]+", name)[:0:-1]][:2]


def _cut(term: str) -> str:
    return term.encode()[:_LONGEST].decode(errors="ignore")
