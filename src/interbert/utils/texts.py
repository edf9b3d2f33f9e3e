"""Texts that can be written anywhere."""

from __future__ import annotations

import re
from typing import Any

_HALF = re.compile(r"\\u[dD][89a-fA-F]")
"""How JSON writes half of a pair of surrogates; two of them after one another are a character."""
MAX_TEXT = 100_000
"""Characters of a title, another text of a row, a query or its id."""


def whole_text(text: str) -> str:
    """A text whose pairs of surrogates are characters; half of one, of a title cut in an emoji, is U+FFFD."""
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text


def may_have_halves(json_text: str, start: int = 0, end: int | None = None) -> bool:
    """Whether the values of a JSON text, or of a part of it, may hold halves of pairs of surrogates."""
    return _HALF.search(json_text, start, len(json_text) if end is None else end) is not None


def whole_values(value: Any) -> Any:
    """Plain nested data with :func:`whole_text` of every text and name in it."""
    if isinstance(value, str):
        return whole_text(value)
    if isinstance(value, list):
        return [whole_values(one) for one in value]
    return {whole_values(name): whole_values(one) for name, one in value.items()} if isinstance(value, dict) else value


def clean_text(text: str) -> str:
    """A text with single spaces; halves of surrogate pairs, which JSON may have, are written as ?, NUL as a space."""
    return " ".join(text.encode("utf-8", "replace").decode("utf-8").replace("\0", " ").split())


def too_long(*cells: str) -> str | None:
    """What is wrong with a row one of whose queries and ids is longer than is read; None for other rows."""
    longest = max(map(len, cells))
    if longest <= MAX_TEXT:
        return None
    return f"has a text or an id of {longest:,} characters, of which {MAX_TEXT:,} at most are read"
