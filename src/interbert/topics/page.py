"""All topic pages as one HTML file: images inside, nothing fetched, all text escaped."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence

from interbert.errors import DataError, VectorIndexError
from interbert.search.index import ProductIndex
from interbert.search.page import TopicItem, document, escape, hit_card, image_classes, stylesheet
from interbert.topics.pages import BuiltPage


def render_topics(pages: Sequence[BuiltPage], images: Mapping[str, str], footer: str) -> str:
    """The file of ``interbert topics page``.

    Args:
        pages: in the order in which they are shown.
        images: data URI of each image id; a missing one shows as a blank card.
        footer: plain text about where the pages come from.

    Raises:
        DataError: a page's items are not as they should be.
    """
    rules, names = image_classes(images)
    shown = sum(len(page.items) for page in pages)
    parts = [f"<h1>Topics</h1>\n<p>{len(pages)} topics, {shown} items.</p>\n<p>"]
    parts += [
        f'<a href="#topic-{number}" dir="auto">{escape(page.texts[0])}</a> ({len(page.items)}){_after(number, pages)}'
        for number, page in enumerate(pages)
    ]
    parts.append("</p>")
    for number, page in enumerate(pages):
        heading = " / ".join(page.texts)
        parts.append(f'<h2 class="query" id="topic-{number}" dir="auto">{escape(heading)}</h2>')
        if page.where:
            parts.append(f'<p class="soft"><code>{escape(page.where)}</code></p>')
        if page.items:
            cards = "\n".join(hit_card(_hit(item, page.topic_id), names) for item in page.items)
            parts.append(f'<ol class="hits">\n{cards}\n</ol>')
        else:
            parts.append('<p class="soft">No product is likely enough.</p>')
    parts.append(f"<footer>{escape(footer)}</footer>")
    return document("InterBERT topics", stylesheet("interbert.search", "results.css") + rules, "\n".join(parts))


def page_images(index: ProductIndex, pages: Sequence[BuiltPage]) -> dict[str, str]:
    """Data URIs of all items' thumbnails; products that have left the index have none."""
    wanted = sorted({str(item.get("id")) for page in pages for item in page.items})
    there = list(index.existing(wanted, []))
    try:
        files = index.thumbnails(there)
    except VectorIndexError:  # one was removed just now
        return {}
    return {
        name: "data:image/jpeg;base64," + base64.b64encode(file).decode("ascii")
        for name, file in zip(there, files, strict=True)
    }


def _hit(item: Mapping[str, object], topic: str) -> TopicItem:
    try:
        texts, likely = item["texts"], item["probability"]
        return TopicItem(
            int(str(item["rank"])),
            str(item["id"]),
            None if likely is None else float(str(likely)),
            tuple(str(text) for text in texts) if isinstance(texts, list) else (),
            str(item["product_id"]),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise DataError(f"topic {topic}: its page is damaged ({error}). Run interbert topics build again.") from error


def _after(number: int, pages: Sequence[BuiltPage]) -> str:
    return "" if number == len(pages) - 1 else " ·"
