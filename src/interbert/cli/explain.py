"""Say which words and regions a match of a text and an image rests on: a table here, and a page with --page.

Relevance is gradient x attention on the difference of the matching logits; beside it is the score without each of the
three most relevant words and regions. The image's regions are made by the model's own extractor.

    interbert explain models/retrieval photo.jpg "red summer dress" --page why.html
    interbert explain models/retrieval photo.jpg "红色连衣裙" --json
"""

from __future__ import annotations

from dataclasses import dataclass

from interbert.utils.terminal import say

_SIDE = 640
"""Pixels of the page's image."""


@dataclass
class Options:
    """Options of ``interbert explain``."""

    model: str
    """Model directory, or its Hub id."""
    image: str
    """Image file."""
    text: str
    """What the image is to match."""
    page: str | None = None
    """HTML page to write."""
    json: bool = False
    """Print JSON instead of a table."""


def run(options: Options) -> None:
    """Explain, print and write the page."""
    import json
    from dataclasses import asdict

    import torch

    from interbert.checkpoints.directory import load_model, load_processor
    from interbert.cli.explanation_output import print_explanation
    from interbert.explain import explain
    from interbert.explain.page import render_explanation
    from interbert.extraction.images import as_image
    from interbert.search.page import thumbnail_uri
    from interbert.utils.files import PAGE, require_replaceable, write_output
    from interbert.utils.redaction import published

    require_replaceable(options.page, PAGE)
    image = as_image(options.image, options.image)
    model = load_model(options.model).to("cuda" if torch.cuda.is_available() else "cpu")
    found = explain(model, load_processor(options.model), options.text, image)
    if options.json:
        say(json.dumps(asdict(found), ensure_ascii=False, indent=2))
    else:
        print_explanation(found)
    if options.page is not None:
        footer = published(f"{options.image}, by {options.model}")
        write_output(options.page, render_explanation(found, thumbnail_uri(image, _SIDE), image.size, footer), PAGE)
        if not options.json:
            say(f"page: {options.page}")
