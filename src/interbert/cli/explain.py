"""Say which words and regions a match of a text and an image rests on: a table here, and a page with --page.

Relevance is gradient x attention on the difference of the matching logits; beside it is the score without each of the
three most relevant words and regions. The image's regions are made by the model's own extractor.

    interbert explain models/retrieval photo.jpg "red summer dress" --page why.html
    interbert explain models/retrieval photo.jpg "红色连衣裙" --json
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from interbert.utils.terminal import say

if TYPE_CHECKING:
    from interbert.explain import Explanation

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
        _print(found)
    if options.page is not None:
        footer = published(f"{options.image}, by {options.model}")
        write_output(options.page, render_explanation(found, thumbnail_uri(image, _SIDE), image.size, footer), PAGE)
        if not options.json:
            say(f"page: {options.page}")


def _print(found: Explanation) -> None:
    from interbert.cli.tables import TextTable, print_table
    from interbert.utils.templating import format_probability

    title = f"{found.text}: {format_probability(found.probability)}, logit difference {found.logit_difference:+.2f}"
    table = TextTable(title=title)
    for name in ("removed", "relevance", "score without", "change"):
        table.add_column(name, justify="left" if name == "removed" else "right")
    rows = [(found.words[place].text, found.words[place]) for place in found.top_words()]
    for place in found.top_regions():
        left, top, right, bottom = (round(100 * side) for side in found.regions[place].box)
        rows.append((f"region {place + 1}: {left}-{right}% x {top}-{bottom}%", found.regions[place]))  # type: ignore[arg-type]
    for name, one in rows:
        assert one.score_without is not None
        change = f"{one.score_without - found.logit_difference:+.2f}"
        table.add_row(name, f"{100 * one.relevance:.1f}%", f"{one.score_without:+.2f}", change)
    print_table(table)
    special = sum(share for _, share in found.special)
    say(f"global token {100 * found.global_relevance:.1f}%, special tokens {100 * special:.1f}% of all relevance")
    if found.dual_score is not None:
        say(f"the score that is explained is the joint pass's; the dual score adds {found.dual_score:+.2f}")
    if found.unread:
        say(f"too long, not read: {found.unread}")
