"""Texts on a terminal: titles, ids and file names are other people's, and must not act on it.

An escape sequence in a title can move the cursor, recolour or retitle the window; a direction character shows an id in
another order than it is written (https://trojansource.codes). Both are written out, such as ``\\x1b`` and ``\\u202e``.
"""

from __future__ import annotations

import re

from interbert.redaction import without_credentials

_BREAKS = re.compile(r"[\t\n\v\f\r\x85\u2028\u2029]+")
"""What would begin another line or column, where a forged message could stand."""
_ACTING = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f"  # control characters
    "\u061c\u200e\u200f\u202a-\u202e\u2066-\u206f"  # direction
    "\ud800-\udfff]"  # halves of characters, as in names of files that are no UTF-8: they cannot be written at all
)


def printable(text: object) -> str:
    """A text as one line in which nothing acts on a terminal.

    Line breaks and tabs become a space; other control characters, direction characters and lone surrogates become
    their escapes.
    Everything else stays, also joiners of scripts and emoji.
    """
    return inert(_BREAKS.sub(" ", str(text)))


def inert(text: str) -> str:
    """As :func:`printable`, for a page: its line breaks and tabs stay."""
    return _ACTING.sub(_escape, text)


def _escape(found: re.Match[str]) -> str:
    code = ord(found.group())
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"


def say(text: object, flush: bool = False) -> None:
    """Print one line of the command line, as :func:`printable` makes it, in which no URI has credentials."""
    print(printable(without_credentials(str(text))), flush=flush)
