"""Texts of others as every library takes them."""

from __future__ import annotations


def clean_text(text: str) -> str:
    """A text with single spaces; halves of surrogate pairs, which JSON may have, are written as ?, NUL as a space."""
    return " ".join(text.encode("utf-8", "replace").decode("utf-8").replace("\0", " ").split())
