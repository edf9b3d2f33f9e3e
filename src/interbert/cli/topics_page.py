"""Write the pages that `interbert topics build` made as one HTML file, images inside.

interbert topics page topics/ topics.html
"""

from __future__ import annotations

from dataclasses import dataclass

from interbert.utils.terminal import say


@dataclass
class Options:
    """Options of ``interbert topics page``."""

    pages: str
    """Folder that topics build wrote."""
    out: str
    """HTML file to write."""
    index: str | None = None
    """Where the index is now, for its images; where it was when not given."""


def run(options: Options) -> None:
    """Read pages and images, and write the file."""
    from interbert.search.index import ProductIndex
    from interbert.topics.page import page_images, render_topics
    from interbert.topics.pages import read_pages
    from interbert.utils.files import PAGE, require_replaceable, write_output

    require_replaceable(options.out, PAGE)
    path, pages = read_pages(options.pages)
    index = ProductIndex.open(options.index or path)
    source, model = index.manifest.origin
    footer = f"{len(pages)} topics over {len(index):,} images of {source}, by {model}"
    content = render_topics(pages, page_images(index, pages), footer)
    write_output(options.out, content, PAGE)
    say(f"page: {options.out}")
