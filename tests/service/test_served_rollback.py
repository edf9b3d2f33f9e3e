"""A running service goes back to an earlier build and model: no request fails, and topic pages follow."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path

from starlette.testclient import TestClient
from tests.search.conftest import priced_rows, source_of, write_table
from tests.service.conftest import MakeClient

from interbert.search.build import build_index
from interbert.search.rollback import kept_versions, roll_back
from interbert.service.topic_pages import TopicPages


def page(client: TestClient) -> list[str]:
    return [one["product_id"] for one in client.get("/v1/topics/red/items").json()["items"]]


def until(holds: Callable[[], bool]) -> None:
    ends = time.monotonic() + 60
    while not holds():
        assert time.monotonic() < ends
        time.sleep(0.1)


def test_searches_and_pages_go_back(
    make_client: MakeClient, index_copy: Path, make_model: Callable[..., Path], tmp_path: Path
) -> None:
    client = make_client(index_copy, start=False, writers=True)
    service = client.app.state.service  # type: ignore[attr-defined]
    shop = service.indexes["shop"]
    shop.topics = TopicPages("shop", shop.engine, service.state, service.metrics)
    assert client.portal is not None
    client.portal.call(service.start)
    assert client.put("/v1/topics/red", json={"texts": ["red shapes"], "top_k": 4}).is_success
    asked = {"text": "a red circle", "top_k": 5}
    before, first_page = client.post("/v1/search", json=asked).json(), page(client)
    (first,) = (one.name for one in kept_versions(index_copy) if one.current)
    few = source_of(write_table(tmp_path / "few.parquet", priced_rows()[12:]))
    build_index(make_model(1), few, index_copy, rebuild=True)
    until(lambda: page(client) != first_page)
    statuses: list[int] = []
    stop = threading.Event()

    def ask() -> None:
        while not stop.is_set():
            statuses.append(client.post("/v1/search", json=asked).status_code)

    asking = [threading.Thread(target=ask) for _ in range(3)]
    for thread in asking:
        thread.start()
    roll_back(index_copy, first)
    until(lambda: page(client) == first_page)
    stop.set()
    for thread in asking:
        thread.join()
    assert set(statuses) == {200}
    again = client.post("/v1/search", json=asked).json()
    assert again["results"] == before["results"]
    assert again["index_version"].split("@")[0] == first.split("@")[0]
    assert again["index_version"] != first
