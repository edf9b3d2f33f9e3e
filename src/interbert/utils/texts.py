"""Texts that can be written anywhere."""

from __future__ import annotations


def whole_text(text: str) -> str:
    """A text whose pairs of surrogates are characters; half of one, of a title cut in an emoji, is U+FFFD."""
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text


def clean_text(text: str) -> str:
    """A text with single spaces; halves of surrogate pairs, which JSON may have, are written as ?, NUL as a space."""
    return " ".join(text.encode("utf-8", "replace").decode("utf-8").replace("\0", " ").split())
