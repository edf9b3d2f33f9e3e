"""A page of search results that is one file: images inside, nothing fetched, all text escaped."""

from __future__ import annotations

import base64
import html
import io
import re
from collections.abc import Iterable, Mapping
from importlib import resources
from typing import TYPE_CHECKING

from interbert.search.hits import Hit
from interbert.terminal import inert

if TYPE_CHECKING:
    from PIL.Image import Image

_HALVES = re.compile("[\ud800-\udfff]")


def escape(text: object) -> str:
    """Text safe inside HTML, attributes included.

    Half a character, which no UTF-8 can hold, becomes U+FFFD; control and direction characters become their escapes.
    """
    return html.escape(inert(_HALVES.sub("\ufffd", str(text))), quote=True)


def stylesheet(package: str, name: str) -> str:
    """Text of a CSS file that lies beside the code."""
    return resources.files(package).joinpath(name).read_text(encoding="utf-8")


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


def image_classes(images: Mapping[str, str]) -> tuple[str, dict[str, str]]:
    """Put each image into the page once.

    Args:
        images: data URI of each key.

    Returns:
        CSS rules, and the class name of each key.
    """
    names = {key: f"p{number}" for number, key in enumerate(images)}
    rules = "\n".join(f'.{names[key]}{{background-image:url("{uri}")}}' for key, uri in images.items())
    return rules, names


def image_html(key: str, names: Mapping[str, str], alt: str, missing: str = "no image") -> str:
    """The element that shows image ``key``, or ``missing`` where there is none."""
    if key not in names:
        return f'<div class="image none">{escape(missing)}</div>'
    return f'<div class="image {names[key]}" role="img" aria-label="{escape(alt)}"></div>'


def document(title: str, css: str, body: str) -> str:
    """A whole HTML page around ``body``."""
    css = stylesheet("interbert.search", "base.css") + css
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        # nothing is fetched, and nothing that a caption holds can run
        '<meta http-equiv="Content-Security-Policy" content="default-src \'none\'; img-src data:; '
        "style-src 'unsafe-inline'\">\n"
        '<meta name="viewport" content="width=device-width,initial-scale=1">\n'
        f"<title>{escape(title)}</title>\n<style>{css}</style>\n</head>\n"
        f"<body>\n<main>\n{body}\n</main>\n</body>\n</html>\n"
    )


def render_results(results: Iterable[tuple[str, Iterable[Hit]]], images: Mapping[str, str], footer: str = "") -> str:
    """The page of ``interbert search --page``.

    Args:
        results: each text with its images, best first.
        images: data URI of each image id; a missing one shows as a blank card.
        footer: plain text about model and catalogue.
    """
    rules, names = image_classes(images)
    parts = ["<h1>Search results</h1>"]
    for text, hits in results:
        parts.append(f'<h2 class="query">{escape(text)}</h2>\n<ol class="hits">')
        parts.extend(hit_card(hit, names) for hit in hits)
        parts.append("</ol>")
    if footer:
        parts.append(f"<footer>{escape(footer)}</footer>")
    return document("InterBERT search", stylesheet("interbert.search", "results.css") + rules, "\n".join(parts))


def hit_card(hit: Hit, names: Mapping[str, str]) -> str:
    """One image with its rank, probability and texts."""
    captions = "".join(f'<div class="caption" dir="auto">{escape(text)}</div>' for text in hit.texts)
    label = f'<div class="id">{escape(hit.product_id)}</div>' if hit.product_id else ""
    shown = bar = ""
    if hit.probability is not None:
        shown = f'<span title="match probability">{escape(format_probability(hit.probability))}</span>'
        bar = f'<div class="bar"><i style="width:{100 * hit.probability:.1f}%"></i></div>'
    return (
        f'<li class="hit">{image_html(hit.id, names, hit.texts[0] if hit.texts else hit.product_id)}'
        f'<div class="line"><span>#{hit.rank}</span>{shown}</div>'
        f"{bar}{captions}{label}</li>"
    )


def format_probability(probability: float) -> str:
    """A probability as people read it: 97%, 3.1%, 0.02%, under 0.01%."""
    percent = 100 * probability
    if percent >= 99.95:
        return "100%" if percent >= 99.995 else f"{percent:.2f}%"
    if percent >= 10:
        return f"{percent:.0f}%" if percent < 99.5 else f"{percent:.1f}%"
    if percent >= 1:
        return f"{percent:.1f}%"
    return f"{percent:.2f}%" if percent >= 0.01 else "<0.01%"
