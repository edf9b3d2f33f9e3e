"""A shop's index with a model that was taught topics, its topic pages, and ways to change its products."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tests.conftest import draw, file_bytes
from tests.search.conftest import priced_rows, source_of, write_table

from interbert.search.changes import add_to_index, remove_from_index, update_columns
from interbert.search.engine import SearchEngine
from interbert.service.metrics import Metrics
from interbert.service.state import State
from interbert.service.state.records import Change, TopicRow
from interbert.service.topic_pages import ShownPage, TopicPages

NOON = datetime(2026, 6, 1, 12, tzinfo=UTC)


class Shop:
    """Topic pages of an index, whose passes the test makes, at a time that the test sets."""

    def __init__(self, index: Path, folder: Path) -> None:
        self.index = index
        self.now = NOON
        self.state = State.open(f"sqlite:///{folder / 'state.db'}")
        self.metrics = Metrics()
        self.saved: list[str] = []
        """Topics whose page was written, in their order."""
        plain = self.state.topics.save_page

        def counted(index: str, topic_id: str, *values: Any, **more: Any) -> Any:
            self.saved.append(topic_id)
            return plain(index, topic_id, *values, **more)

        self.state.topics.save_page = counted  # type: ignore[method-assign]
        self.pages = self.opened()

    def opened(self) -> TopicPages:
        """Pages as a service that starts has them."""
        return TopicPages("shop", SearchEngine.open(self.index), self.state, self.metrics, 0.02, lambda: self.now)

    def put(self, name: str, *texts: str, **values: Any) -> TopicRow:
        """Save a published topic with ten products and no threshold."""
        asked = {"top_k": 10, "min_probability": 0.0, "published": True} | values
        return self.state.topics.put("shop", TopicRow(name, list(texts), **asked))

    def page(self, name: str) -> ShownPage:
        return self.pages.items(name)

    def products(self, name: str) -> list[str]:
        return [str(item["product_id"]) for item in self.page(name).page.items]

    def log(self, name: str) -> list[Change]:
        return list(self.pages.changes(name, 1000))

    def why(self, name: str, what: str) -> dict[str, str]:
        """Sentences of the newest change of each product that entered, left or moved."""
        return {change.product_id: change.why for change in reversed(self.log(name)) if change.what == what}

    def remove(self, *products: str) -> None:
        remove_from_index(self.index, ids=list(products))

    def set_stock(self, product: str, stock: int, folder: Path) -> None:
        update_columns(self.index, str(write_table(folder / "stock.parquet", [{"id": product, "stock": stock}])))

    def add(self, name: str, colour: str, shape: str, folder: Path) -> None:
        row = priced_rows()[0] | {
            "image": {"bytes": file_bytes(draw(colour, shape, (66, 90))), "path": f"{name}.png"},
            "title": f"a {colour} {shape} on white paper",
            "id": name,
            "colour": colour,
        }
        add_to_index(self.index, source_of(write_table(folder / "new.parquet", [row])))


@contextmanager
def opened_shop(index: Path, folder: Path) -> Iterator[Shop]:
    """A shop, closed in the end."""
    shop = Shop(index, folder)
    try:
        yield shop
    finally:
        shop.pages.stop()
        shop.state.close()
