"""A page of search results that is one file: images inside, nothing fetched, all text escaped."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from interbert.search.results import Results
from interbert.utils.templating import render

if TYPE_CHECKING:
    from PIL.Image import Image


def thumbnail_uri(image: Image, size: int = 192) -> str:
    """An image as a data URI, no side over ``size`` pixels: PNG when it has few colours, else JPEG."""
    small = image.convert("RGB")
    small.thumbnail((size, size))
    out = io.BytesIO()
    few_colours = small.getcolors(maxcolors=small.width * small.height // 8) is not None
    if few_colours:
        small.quantize(64).save(out, "PNG", optimize=True)
    else:
        small.save(out, "JPEG", quality=82)
    kind = "png" if few_colours else "jpeg"
    return f"data:image/{kind};base64," + base64.b64encode(out.getvalue()).decode("ascii")


def render_results(results: Iterable[Results], images: Mapping[str, str], footer: str = "") -> str:
    """The page of ``interbert search --page``.

    Args:
        results: of each query.
        images: data URI of each image id; a missing one shows as a blank card.
        footer: plain text about model and catalogue.
    """
    return render("search.html", images, results=results, footer=footer)
