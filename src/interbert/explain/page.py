"""The page of ``interbert explain --page``: one file, with the image and all it needs inside."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator, Sequence
from importlib.resources import files

from interbert.explain.explanation import Explanation
from interbert.utils.templating import render

_SCRIPT = "explain.js"


def render_explanation(explanation: Explanation, image: str, size: tuple[int, int], footer: str = "") -> str:
    """The page of an explanation.

    Args:
        explanation: of a text and an image.
        image: data URI of the image.
        size: its width and height, for the shape of the frame.
        footer: plain text about model and image.
    """
    return render(
        "explain.html",
        {"image": image},
        found=explanation,
        segments=list(_segments(explanation)),
        words=_strengths([one.relevance for one in explanation.words]),
        regions=_strengths([one.relevance for one in explanation.regions]),
        word_links=[_contrast(one) for one in explanation.links],
        region_links=[_contrast(one) for one in zip(*explanation.links, strict=True)],
        top_words=explanation.top_words(),
        top_regions=explanation.top_regions(),
        width=size[0],
        height=size[1],
        script_digest=_digest(),
        footer=footer,
    )


def _segments(explanation: Explanation) -> Iterator[tuple[str, int | None]]:
    """The text in parts, each with the place of the word that it is; None between words."""
    end = 0
    for place, word in enumerate(explanation.words):
        if word.start > end:
            yield explanation.text[end : word.start], None
        yield word.text, place
        end = word.end


def _strengths(values: Sequence[float]) -> list[float]:
    """Values as shares of the largest one."""
    largest = max(values, default=0.0)
    return [max(value, 0.0) / largest if largest > 0 else 0.0 for value in values]


def _contrast(values: Sequence[float]) -> list[float]:
    """Values between the smallest, 0, and the largest, 1: boxes overlap, and would all look alike by their shares."""
    return _strengths([value - min(values) for value in values])


def _digest() -> str:
    """SHA-256 of the script, in base64: the one script that the page's own policy lets run."""
    text = files("interbert").joinpath("templates", _SCRIPT).read_text(encoding="utf-8").removesuffix("\n")
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode("ascii")
