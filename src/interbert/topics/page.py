"""All topic pages as one HTML file: images inside, nothing fetched, all text escaped."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence

from interbert.errors import DataError, VectorIndexError
from interbert.search.hits import Hit
from interbert.search.index import ProductIndex
from interbert.topics.pages import BuiltPage
from interbert.utils.templating import render


def render_topics(pages: Sequence[BuiltPage], images: Mapping[str, str], footer: str) -> str:
    """The file of ``interbert topics page``.

    Args:
        pages: in the order in which they are shown.
        images: data URI of each image id; a missing one shows as a blank card.
        footer: plain text about where the pages come from.

    Raises:
        DataError: a page's items are not as they should be.
    """
    shown = [(page, [_hit(item, page.topic_id) for item in page.items]) for page in pages]
    count = sum(len(page.items) for page in pages)
    return render("topics.html", images, pages=shown, shown=count, footer=footer)


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


def _hit(item: Mapping[str, object], topic: str) -> Hit:
    try:
        texts, likely = item["texts"], item["probability"]
        return Hit(
            int(str(item["rank"])),
            str(item["id"]),
            None if likely is None else float(str(likely)),
            tuple(str(text) for text in texts) if isinstance(texts, list) else (),
            str(item["product_id"]),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise DataError(f"topic {topic}: its page is damaged ({error}). Run interbert topics build again.") from error
